"""A Django project in one file, as it might be anywhere: ``python django_application.py COMMAND EMAIL …``.

It knows nothing of Stepwell; its database is ``APPLICATION_DATABASE_URL``.
"""

import os
import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from psycopg.conninfo import conninfo_to_dict

_place = conninfo_to_dict(os.environ["APPLICATION_DATABASE_URL"])

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _place["dbname"],
            "USER": _place["user"],
            "HOST": _place["host"],
        }
    },
    SECRET_KEY="not one",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402  # needs the set-up


def main(command: str, *emails: str) -> None:
    match command:
        case "migrate":
            call_command("migrate", verbosity=0)
        case "create":
            for email in emails:
                User.objects.create_user(email.partition("@")[0], email, "s3cret-pass-word")
        case "bulk_create":
            User.objects.bulk_create([User(username=email, email=email) for email in emails])
        case "rename":
            for user in User.objects.filter(email__in=emails):
                user.first_name = "Renamed"
                user.save()
        case "bulk_update":
            User.objects.filter(email__in=emails).update(is_active=False)
        case "delete":
            User.objects.filter(email__in=emails).delete()
        case "change_mind":
            with transaction.atomic():
                main("create", *emails)
                transaction.set_rollback(True)


if __name__ == "__main__":
    main(*sys.argv[1:])
