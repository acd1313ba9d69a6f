"""How far a running task is, as it says itself."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_ztask", "0010_pause")]

    operations = [
        migrations.AddField(
            model_name="task",
            name="progress",
            field=models.TextField(
                blank=True, help_text="JSON: what an attempt has said last of how far it is.", null=True
            ),
        ),
    ]
