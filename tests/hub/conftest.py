from tests.hub.fake import fake_hub  # noqa: F401  (a fixture)
