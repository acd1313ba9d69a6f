"""The record of replays: who had which failed tasks queued again, when, and how many."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_ztask", "0008_cancel")]

    operations = [
        migrations.CreateModel(
            name="Replay",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("started", models.DateTimeField()),
                (
                    "finished",
                    models.DateTimeField(
                        blank=True, help_text="Empty: it goes on, or was stopped.", null=True
                    ),
                ),
                ("by", models.CharField(help_text="user@host", max_length=255)),
                ("pid", models.IntegerField()),
                ("filter", models.JSONField(help_text='Which tasks; "words": as it was typed.')),
                ("matched", models.IntegerField(help_text="Tasks that matched when it began.")),
                ("queued", models.IntegerField(default=0, help_text="Tasks that it has queued again.")),
                (
                    "position",
                    models.TextField(
                        blank=True, help_text="JSON: created and id of the last one.", null=True
                    ),
                ),
                (
                    "horizon",
                    models.DateTimeField(blank=True, help_text="What failed later is not for it.", null=True),
                ),
                ("due", models.FloatField(help_text="The due time it gives, epoch seconds.")),
                ("seen", models.FloatField(help_text="Its last sign of life, epoch seconds.")),
            ],
            options={"db_table": "django_ztask_replay"},
        ),
    ]
