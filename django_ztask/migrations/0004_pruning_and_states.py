"""The index by which pruning finds what succeeded long ago, and a check on the states."""

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
        migrations.AddConstraint(
            model_name="task",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"])),
                name="ztask_status",
            ),
        ),
    ]
