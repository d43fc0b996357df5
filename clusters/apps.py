from django.apps import AppConfig


class ClustersConfig(AppConfig):
    name = "clusters"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from clusters import checks, receivers  # noqa: F401  (says what is odd; connects to the jobs' signals)
        from clusters.services import corpora, export_job, import_job, machine_job  # noqa: F401  (say what jobs need)
