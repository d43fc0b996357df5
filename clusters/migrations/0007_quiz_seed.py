from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("clusters", "0006_people_and_labels"),
    ]

    operations = [
        migrations.AddField(
            model_name="quizquestion",
            name="seed",
            field=models.BigIntegerField(default=0),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="quizquestion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("chosen", None)),
                fields=("person", "cluster"),
                name="one_open_question_per_cluster",
            ),
        ),
    ]
