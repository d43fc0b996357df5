"""Signing in elsewhere: the providers that the environment names, as django-allauth wants to be told of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from quantaweb import env


@dataclass
class Providers:
    """Ways to sign in (provider, its id in addresses, the name on the button), and what goes with them."""

    ways: list[dict[str, str]] = field(default_factory=list)
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    origins: list[str] = field(default_factory=list)  # where a form of ours may lead
    issuer: str = ""  # of OpenID Connect

    @property
    def apps(self) -> list[str]:
        own = [f"allauth.socialaccount.providers.{provider}" for provider in self.settings]
        return ["allauth", "allauth.account", "allauth.socialaccount", *own] if self.ways else []


def named() -> Providers:
    """None of them unless a provider is named."""
    found = Providers()
    if issuer := env.address("QW_OIDC_ISSUER"):
        found.issuer = issuer
        oidc = {
            "provider_id": "oidc",
            "name": env.text("QW_OIDC_NAME") or str(urlsplit(issuer).hostname),
            "client_id": env.needed("QW_OIDC_CLIENT_ID", "QW_OIDC_ISSUER"),
            "secret": env.needed("QW_OIDC_CLIENT_SECRET", "QW_OIDC_ISSUER"),
            "settings": {"server_url": issuer},
        }
        found.settings["openid_connect"] = {"APPS": [oidc], "OAUTH_PKCE_ENABLED": True}
        found.ways.append({"provider": "openid_connect", "id": "oidc", "name": str(oidc["name"])})
        found.origins.append("{0.scheme}://{0.netloc}".format(urlsplit(issuer)))
    if client_id := env.text("QW_GITHUB_CLIENT_ID"):
        github = {"client_id": client_id, "secret": env.needed("QW_GITHUB_CLIENT_SECRET", "QW_GITHUB_CLIENT_ID")}
        found.settings["github"] = {"APPS": [github], "SCOPE": ["user:email"], "OAUTH_PKCE_ENABLED": True}
        found.ways.append({"provider": "github", "id": "github", "name": "GitHub"})
        found.origins.append("https://github.com")
    return found
