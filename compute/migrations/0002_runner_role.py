"""The runner role: people in it may start computing."""

from django.db import migrations


def create_role(apps, schema_editor):
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="compute", model="job"
    )
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type, codename="add_job", defaults={"name": "Can add job"}
    )
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name="runner")
    group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("compute", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(create_role, migrations.RunPython.noop)]
