"""The column that django-ztask 0.1.4 added, under the name South knew it by."""

from django.db import migrations, models

from django_ztask.adopt import AddFieldIfMissing


class Migration(migrations.Migration):
    dependencies = [("django_ztask", "0001_initial")]

    operations = [
        AddFieldIfMissing(
            model_name="task", name="created", field=models.DateTimeField(blank=True, null=True)
        ),
    ]
