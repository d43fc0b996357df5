from django.apps import AppConfig


class ComputeConfig(AppConfig):
    name = "compute"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from compute import checks  # noqa: F401  (registers them)
        from compute.jobs import probes  # noqa: F401  (registers its kind of job)
