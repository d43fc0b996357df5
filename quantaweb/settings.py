"""Every setting, all from the environment; the defaults are the embedded server on a laptop."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from quantaweb import env, logs, names, production, providers, reports, roles

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("QW_DATA_DIR", str(BASE_DIR / "var"))).expanduser().resolve()

DEBUG = env.flag("QW_DEBUG")
SECRET_KEY = env.secret_key(DATA_DIR / "secret_key")
ALLOWED_HOSTS = env.listed("QW_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
PORT = env.integer("PORT", 8000, least=1)
HAS_OWN_SECRET, HAS_OWN_HOSTS = bool(env.text("QW_SECRET_KEY")), bool(env.text("QW_ALLOWED_HOSTS"))
CSRF_TRUSTED_ORIGINS = env.origins("QW_TRUSTED_ORIGINS")
BEHIND_TLS = env.flag("QW_BEHIND_TLS")
INSECURE_HTTP = env.flag("QW_INSECURE_HTTP")  # it is meant that others read and send everything in the clear
ROLE = roles.current()

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
    "axes",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "corsheaders",
    "compute",
    "clusters",
]

MIDDLEWARE = [
    "quantaweb.requests.RequestLog",
    "clusters.views.measured.Measured",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "clusters.views.throttling.HeldBack",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "clusters.views.errors.UnreadableBundles",
    "clusters.views.errors.Unprepared",
    "clusters.views.errors.DatabaseAway",
    "clusters.views.preferences.PreferredUnit",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "quantaweb.urls"
WSGI_APPLICATION = "quantaweb.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "clusters.context_processors.site",
            ],
        },
    },
]

# ── database: SQLite in the data folder, or whatever QW_DATABASE_URL names ──
DATABASES = {"default": env.database("QW_DATABASE_URL", f"sqlite:///{quote(str(DATA_DIR / 'quantaweb.sqlite3'))}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": (
            "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA busy_timeout=20000;"
            "PRAGMA journal_size_limit=67108864;PRAGMA cache_size=-8000;"
        ),
    }
else:
    DATABASES["default"] |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    DATABASES["default"]["PASSWORD"] = DATABASES["default"]["PASSWORD"] or env.text("QW_DATABASE_PASSWORD")
    DATABASES["default"]["OPTIONS"] = {  # a server that fell silent is given up after 20 seconds, not after minutes
        "connect_timeout": 5,
        "tcp_user_timeout": 20_000,  # milliseconds
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        **roles.postgresql_options(ROLE),
        **(DATABASES["default"].get("OPTIONS") or {}),  # what the address itself says holds
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# ── what web processes share for a moment; each has its own without a Redis ──
CACHE_URL = env.server("QW_CACHE_URL", "QW_BROKER_PASSWORD")
WEB_PROCESSES = env.integer("QW_WEB_PROCESSES", 1, least=1)
WEB_THREADS = env.integer("QW_WEB_THREADS", 4, least=2)
# a minute: pages of a person, of an address without one, what is dragged through, and fits of curves that nobody asked
# about just before, the API's too; an hour: the last three
WEB_RATES = {
    "person": 600, "anonymous": 300, "numbers": 3000, "fits": 30, "letters": 20, "sign-ins": 120, "bad-keys": 120,
}  # fmt: skip
CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}
}
if CACHE_URL:
    CACHES["default"] = {
        "BACKEND": "quantaweb.cache.PatientCache",
        "LOCATION": [CACHE_URL],
        "KEY_PREFIX": "quantaweb",
    }

# ── people ──
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "clusters:sign-in"
LOGIN_REDIRECT_URL = "clusters:runs"
LOGOUT_REDIRECT_URL = "clusters:runs"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.5  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_TEMPLATE = "accounts/locked.html"
AXES_VERBOSE = False
AXES_CLIENT_IP_CALLABLE = "clusters.services.rates.guesser"
SIGNUP = env.choice("QW_SIGNUP", "off", ("off", "invitation", "open"))  # who may make an account
SIGNUP_ROLES = env.listed("QW_SIGNUP_ROLES")  # that new people get where it is open
if unknown_roles := set(SIGNUP_ROLES) - {"labeler", "adjudicator", "runner"}:
    raise ImproperlyConfigured(
        f"QW_SIGNUP_ROLES names {', '.join(sorted(unknown_roles))}; there are labeler, adjudicator and runner."
    )
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

# ── mail: none is sent unless a server is named ──
SITE_URL = env.address("QW_SITE_URL")  # where people reach this site; mails link there
MAIL_SERVER = env.mail_server()
HAS_EMAIL = MAIL_SERVER is not None
if MAIL_SERVER is not None:
    globals().update(MAIL_SERVER)
    EMAIL_TIMEOUT = 10
    DEFAULT_FROM_EMAIL = env.text("QW_EMAIL_FROM") or f"QuantaWeb <quantaweb@{urlsplit(SITE_URL).hostname}>"
    if not SITE_URL:
        raise ImproperlyConfigured(
            "A mail server is named, but not where people reach this site, and mails link there; "
            "set QW_SITE_URL, to https://quanta.example.org, say."
        )

# ── the API ──
PROXIES = env.integer("QW_PROXIES", 0, least=0)  # in front of this site, each adding to X-Forwarded-For; 0 ignores it
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "clusters.api.authentication.KeyAuthentication",
        "clusters.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["clusters.api.permissions.Scoped"],
    "DEFAULT_PARSER_CLASSES": ["clusters.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["clusters.api.renderers.FiniteJSONRenderer"],
    "DEFAULT_THROTTLE_CLASSES": ["clusters.api.throttling.PerKey"],
    "DEFAULT_THROTTLE_RATES": {
        "person": "600/min",
        "anonymous": "300/min",
        "numbers": "3000/min",  # what is dragged and played through
    },
    "DEFAULT_SCHEMA_CLASS": "clusters.api.schema.Schema",
    "EXCEPTION_HANDLER": "clusters.api.errors.handle",
    "NUM_PROXIES": PROXIES,
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
KEYS_PER_PERSON = 10  # that work
REST_KNOX = {
    "TOKEN_MODEL": "clusters.ApiKey",
    "TOKEN_PREFIX": "qw_",
    "TOKEN_TTL": timedelta(days=30),
    "TOKEN_LIMIT_PER_USER": KEYS_PER_PERSON,
    "AUTH_HEADER_PREFIX": "Bearer",
}
KNOX_TOKEN_MODEL = REST_KNOX["TOKEN_MODEL"]
SPECTACULAR_SETTINGS = {
    "TITLE": "QuantaWeb",
    "DESCRIPTION": "Runs of QDG, their clusters, token curves and labels. Losses are in nats.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_NO_READ_ONLY_REQUIRED": True,  # `fields` leaves any of them out
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "PREPROCESSING_HOOKS": ["clusters.api.schema.own_paths"],
    "ENUM_NAME_OVERRIDES": {
        "Affinity": "clusters.api.schema.AFFINITIES",
        "CurveOver": "compute.numerics.theories.OVER",
        "ExperimentKind": "clusters.api.schema.EXPERIMENT_KINDS",
        "ExportKind": "clusters.api.schema.EXPORT_KINDS",
        "ImportKind": "clusters.api.schema.IMPORT_KINDS",
        "JobState": "clusters.api.schema.JOB_STATES",
        "LabelKind": "clusters.api.schema.LABEL_KINDS",
        "LabelOrigin": "clusters.api.schema.LABEL_ORIGINS",
        "LabelState": "clusters.api.schema.LABEL_STATES",
        "LawName": "clusters.api.schema.LAW_NAMES",
        "OverEnum": "clusters.api.schema.OF_TOKENS",
    },
}
CORS_ALLOWED_ORIGINS = env.origins("QW_CORS_ORIGINS")
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "if-match", "if-none-match", "idempotency-key"]
CORS_EXPOSE_HEADERS = ["ETag", "Idempotent-Replayed", "Link", "Location", "Retry-After"]

# ── what the browser may do ──
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$"]  # machines ask for them within the network
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = env.integer("QW_HSTS_SECONDS", 31536000, least=3600)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True

# ── signing in elsewhere: only where a provider is named ──
_providers = providers.named()
SIGN_IN_WAYS, SOCIALACCOUNT_PROVIDERS = _providers.ways, _providers.settings
if SIGN_IN_WAYS:
    INSTALLED_APPS += _providers.apps
    MIDDLEWARE.append("allauth.account.middleware.AccountMiddleware")
    CONTENT_SECURITY_POLICY["DIRECTIVES"]["form-action"] += _providers.origins
    SOCIALACCOUNT_ADAPTER = "clusters.views.social_adapter.Adapter"
    SOCIALACCOUNT_EMAIL_VERIFICATION = ACCOUNT_EMAIL_VERIFICATION = "none"
    SOCIALACCOUNT_EMAIL_REQUIRED = ACCOUNT_UNIQUE_EMAIL = False
    ACCOUNT_SIGNUP_FIELDS = ["username*"]

# ── files ──
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
WHITENOISE_USE_FINDERS = True  # a laptop needs no collectstatic
WHITENOISE_AUTOREFRESH = DEBUG

# ── text and networks that people bring ──
CORPUS_DIR = DATA_DIR / "corpora"  # uploads, each in a folder of its own
UPLOAD_BYTES = 100_000_000  # larger files lie on the server and are named by their path
ALLOWED_ROOTS = env.folders("QW_ALLOWED_ROOTS")  # whose files and folders people may name
FILE_UPLOAD_HANDLERS = ["clusters.uploads.CorpusUploadHandler"]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
USE_THOUSAND_SEPARATOR = False

# ── being watched ──
METRICS_KEY = env.text("QW_METRICS_KEY")  # lets others than this machine read /metrics
METRICS_DIR = env.text("PROMETHEUS_MULTIPROC_DIR")  # where several web processes add up their numbers

# ── computing ──
BUNDLE_DIR = DATA_DIR / "bundles"  # published, immutable
DERIVED_DIR = DATA_DIR / "derived"  # what pages work out of bundles once; safe to delete
WORKSPACE_DIR = DATA_DIR / "workspaces"  # shards of jobs under way
EXPORT_DIR = DATA_DIR / "exports"  # files that people asked for, until they expire
EXPORT_DAYS = env.integer("QW_EXPORT_DAYS", 7, least=1)
VERIFY_DAYS = env.integer("QW_VERIFY_DAYS", 30, least=0)  # between checks of every file of a run; 0: only when asked
KEEP_DELETED_DAYS = env.integer("QW_KEEP_DELETED_DAYS", 7)  # bundles of deleted runs; longer than any backup takes
KEEP_LOGS_DAYS = env.integer("QW_KEEP_LOGS_DAYS", 90, least=1)  # what jobs said, once they have ended
KEEP_KEYS_DAYS = env.integer("QW_KEEP_KEYS_DAYS", 90)  # keys and invitations that ended
KEEP_ATTEMPTS_DAYS = env.integer("QW_KEEP_ATTEMPTS_DAYS", 30, least=1)  # to sign in
KEEP_NOTICES_DAYS = env.integer("QW_KEEP_NOTICES_DAYS", 180, least=1)
KEEP_AUDIT_DAYS = env.integer("QW_KEEP_AUDIT_DAYS", 0)  # 0 keeps it for good
RUNNER = env.choice("QW_RUNNER", "local", ("local", "celery"))
env.of_what_computes()
DEVICE = env.device("QW_DEVICE")  # that workers compute on; jobs for a GPU wait in its own queue
QUEUES = env.several("QW_QUEUES", ("gpu", "cpu", "site"))  # that the local runner takes jobs from
OPEN_JOBS_PER_PERSON = env.integer("QW_OPEN_JOBS_PER_PERSON", 5, least=1)  # runs; administrators are exempt
JOBS_PER_HOUR = env.integer("QW_JOBS_PER_HOUR", 10, least=1)  # that one person may start, through pages and API
QUEUE_LIMIT = env.integer("QW_QUEUE_LIMIT", 500, least=1)  # open jobs of everybody
STUCK_SECONDS = env.integer("QW_STUCK_SECONDS", 900, least=2)  # without a report or processor time: hung
HEARTBEAT_SECONDS = env.integer("QW_HEARTBEAT_SECONDS", 15, least=1)
LEASE_SECONDS = env.integer("QW_LEASE_SECONDS", 120, least=2)
STALLED_SECONDS = env.integer("QW_STALLED_SECONDS", 60, least=2)
SWEEP_SECONDS = env.integer("QW_SWEEP_SECONDS", 60, least=1)
RESEND_SECONDS = env.integer("QW_RESEND_SECONDS", 300, least=1)  # a job that nobody took for so long is announced again
RESERVE_MB = env.integer("QW_RESERVE_MB", 100, least=0)  # of the disk that jobs and uploads leave to the database
POLL_SECONDS = env.integer("QW_POLL_SECONDS", 1, least=1)
STORE = env.store()  # where hosts that share no disk leave results for each other; None where all see one folder
GRACE_SECONDS = env.integer("QW_GRACE_SECONDS", 50, least=1)  # from SIGTERM until a shard that is stuck is given back

# ── Celery: a message is only a wake-up; the database owns the job ──
CELERY_BROKER_URL = env.server("QW_BROKER_URL", "QW_BROKER_PASSWORD") or "redis://127.0.0.1:6379/0"
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 60.0  # where a worker is ended by SIGQUIT; SIGTERM waits for its children
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "socket_keepalive": True,
    "socket_keepalive_options": {  # a cut that nobody tells of is noticed within half a minute, where the system can
        getattr(socket, name): value
        for name, value in (
            ("TCP_KEEPIDLE", 15),
            ("TCP_KEEPINTVL", 5),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", 20_000),  # milliseconds
        )
        if hasattr(socket, name)
    },
    "health_check_interval": 30,
}
CELERY_TASK_DEFAULT_QUEUE = "cpu"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False  # workers log as everything else does
ALIVE_FILE = env.text("QW_ALIVE_FILE")  # that a worker touches while it is well; empty: none

# ── logs: to standard error, never a text, a key or an address that somebody typed ──
LOG_FORMAT = env.choice("QW_LOG_FORMAT", "plain", ("plain", "json"))
LOG_LEVEL = env.choice("QW_LOG_LEVEL", "INFO" if LOG_FORMAT == "json" else "WARNING", env.LEVELS)
LOGGING = logs.configuration(LOG_FORMAT, LOG_LEVEL)
SENTRY_DSN = env.text("QW_SENTRY_DSN")  # where errors are reported, without what people wrote; empty: nowhere

# ── suggestions by a language model ──
SUGGEST_URL, SUGGEST_MODEL = env.language_model()  # an OpenAI-compatible API; empty: off
SUGGEST_PRIVATE = env.flag("QW_SUGGEST_PRIVATE")  # its name may lead into a private network
SUGGEST_KEY = env.text("QW_SUGGEST_KEY")  # only workers send it; no page, log or job names it

UNKNOWN_VARIABLES = names.unknown()  # of ours; `manage.py check` says which names were meant
production.refuse(
    production.Start(
        debug=DEBUG,
        hosts=ALLOWED_HOSTS,
        behind_tls=BEHIND_TLS,
        insecure_http=INSECURE_HTTP,
        secret=env.text("QW_SECRET_KEY"),
        origins=CSRF_TRUSTED_ORIGINS,
        site_url=SITE_URL,
        database=DATABASES["default"],
        runner=RUNNER,
        database_password=env.text("QW_DATABASE_PASSWORD"),
        broker_url=CELERY_BROKER_URL,
        cache_url=CACHE_URL,
        broker_password=env.text("QW_BROKER_PASSWORD"),
        mail_server=MAIL_SERVER,
        issuer=_providers.issuer,
        suggest_url=SUGGEST_URL,
        suggest_private=SUGGEST_PRIVATE,
        web_processes=WEB_PROCESSES,
        proxies=PROXIES,
        metrics_key=METRICS_KEY,
        data_dir=DATA_DIR,
        secret_files=env.secret_files,
    )
)
if SENTRY_DSN:
    reports.start(SENTRY_DSN, ROLE)
