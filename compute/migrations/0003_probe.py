import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("compute", "0002_runner_role")]

    operations = [
        migrations.CreateModel(
            name="Probe",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("bundle_path", models.CharField(max_length=500)),
                ("bundle_sha256", models.CharField(db_index=True, max_length=64)),
                ("text", models.TextField()),
                ("chosen", models.JSONField(default=list)),
                ("facts", models.JSONField(null=True)),
                ("cosines", models.BinaryField(null=True)),
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="probe", to="compute.job"
                    ),
                ),
            ],
        ),
    ]
