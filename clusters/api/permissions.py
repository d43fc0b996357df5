"""What a key may be used for. Whether its owner may do the thing at all, services say."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from clusters.models import ApiKey

READ, LABEL, RUN, ADMIN = ApiKey.Scope.READ, ApiKey.Scope.LABEL, ApiKey.Scope.RUN, ApiKey.Scope.ADMIN


class Scoped(BasePermission):
    """Anybody may read what is public. Writing needs a person and, with a key, the resource's `scope`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not hasattr(view, str(request.method).lower()):
            return True  # there is no such method: 405, whoever asks
        is_read = request.method in SAFE_METHODS
        needed = READ if is_read else view.scope
        if isinstance(request.auth, ApiKey):
            self.message = f"This key has no “{needed}” scope; it has {', '.join(request.auth.scopes) or 'none'}."
            return needed in request.auth.scopes
        if is_read and not getattr(view, "is_personal", False):
            return True
        return bool(request.user and request.user.is_authenticated)
