"""Runs of published labels: what they came without is null. What people bring is noted."""

from __future__ import annotations

from importlib import import_module

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

words = import_module("clusters.migrations.0005_words_of_contexts")  # SQLite builds the tokens' table anew


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0007_quiz_seed"),
        ("compute", "0004_job_result"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="cluster",
            name="dominant_share",
            field=models.FloatField(null=True),
        ),
        migrations.AlterField(
            model_name="cluster",
            name="n_documents",
            field=models.IntegerField(null=True),
        ),
        migrations.AlterField(
            model_name="token",
            name="loss_nats",
            field=models.FloatField(null=True),
        ),
        migrations.RunPython(words.make_index, words.make_index),
        migrations.CreateModel(
            name="Import",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("bundle", "a bundle"), ("published", "published clusters"), ("labels", "labels")],
                        max_length=10,
                    ),
                ),
                ("file_name", models.CharField(max_length=255)),
                ("key", models.CharField(max_length=32, unique=True)),
                ("asked", models.JSONField(default=dict)),
                ("result", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("done_at", models.DateTimeField(null=True)),
                (
                    "job",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="import_of",
                        to="compute.job",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="imports",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="imports",
                        to="clusters.run",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
    ]
