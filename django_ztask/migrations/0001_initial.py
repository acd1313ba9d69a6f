"""The table of django-ztask 0.1.0, exactly: old installs have it already, and keep it."""

from django.db import migrations, models

from django_ztask.adopt import CreateOrAdopt


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        CreateOrAdopt(
            name="Task",
            fields=[
                ("uuid", models.CharField(max_length=36, primary_key=True, serialize=False)),
                ("function_name", models.CharField(max_length=255)),
                ("args", models.TextField()),
                ("kwargs", models.TextField()),
                ("retry_count", models.IntegerField(default=0)),
                ("last_exception", models.TextField(blank=True, null=True)),
                ("next_attempt", models.FloatField(blank=True, null=True)),
                ("failed", models.DateTimeField(blank=True, null=True)),
            ],
            options={"db_table": "django_ztask_task"},
        ),
    ]
