from tests.databases import postgres_template, site, sqlite_template
from tests.postgres import postgres

__all__ = ["postgres", "postgres_template", "site", "sqlite_template"]
