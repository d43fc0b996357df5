from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [path("api/", include("clusters.api.urls"))]
for provider in settings.SOCIALACCOUNT_PROVIDERS:
    urlpatterns.append(path("sign-in/with/", include(f"allauth.socialaccount.providers.{provider}.urls")))
urlpatterns.append(path("", include("clusters.urls")))
handler400 = "clusters.api.handlers.bad_request"
handler403 = "clusters.api.handlers.forbidden"
handler404 = "clusters.api.handlers.not_found"
handler500 = "clusters.api.handlers.server_error"
