"""Letters to people; one that cannot be sent never breaks what it tells of."""

from __future__ import annotations

import logging
import threading
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage

logger = logging.getLogger(__name__)


def send(address: str, subject: str, text: str) -> bool:
    """Send one letter now; False, and a line in the log, where the server does not take it."""
    if not settings.HAS_EMAIL:
        return False
    return deliver(EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, [address]))


def deliver(message: EmailMessage) -> bool:
    try:
        message.send()
    except (OSError, SMTPException, ValueError) as error:
        logger.warning("a letter could not be sent (%s): %s", type(error).__name__, message.subject)
        return False
    return True


def deliver_later(message: EmailMessage) -> threading.Thread:
    """Send from a thread of its own, so that how long an answer takes does not tell whether a letter went out."""
    thread = threading.Thread(target=deliver, args=[message], name="mail")
    thread.start()
    return thread
