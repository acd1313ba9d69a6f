"""The queues that are paused."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_ztask", "0009_replay")]

    operations = [
        migrations.CreateModel(
            name="Pause",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "queue",
                    models.CharField(blank=True, help_text="Empty: everything.", max_length=100, unique=True),
                ),
                ("since", models.DateTimeField()),
                ("by", models.CharField(help_text="user@host", max_length=255)),
                ("reason", models.TextField(blank=True)),
            ],
            options={"db_table": "django_ztask_pause"},
        ),
        migrations.AlterField(
            model_name="task",
            name="pool",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text='Where it runs: "greenlet", "process", or "" for what the node takes it to; "suspect" and '
                '"suspect-greenlet" (its node died while it held it): alone in a child process; "paused-..." (see aside.py): '
                "put aside while its queue is paused.",
                max_length=20,
            ),
        ),
    ]
