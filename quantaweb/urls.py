from django.urls import include, path

urlpatterns = [path("api/", include("clusters.api.urls")), path("", include("clusters.urls"))]
handler400 = "clusters.views.errors.bad_request"
handler403 = "clusters.views.errors.forbidden"
handler404 = "clusters.views.errors.not_found"
handler500 = "clusters.views.errors.server_error"
