from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("clusters", "0008_imports")]

    operations = [
        migrations.AlterField(
            model_name="export",
            name="kind",
            field=models.CharField(
                choices=[
                    ("clusters", "Clusters"),
                    ("memberships", "Memberships"),
                    ("clustered", "clustered tokens"),
                    ("tokens", "Tokens"),
                    ("labels", "Labels"),
                    ("archive", "the whole run"),
                ],
                max_length=11,
            ),
        ),
    ]
