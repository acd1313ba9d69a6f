"""The index by which pruning finds what succeeded long ago."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_ztask", "0003_journal")]

    operations = [
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("status", "SUCCEEDED")), fields=["finished"], name="ztask_succeeded"
            ),
        ),
    ]
