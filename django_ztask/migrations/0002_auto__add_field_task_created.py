"""The column that django-ztask 0.1.4 added, under the name South knew it by."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_ztask", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="task", name="created", field=models.DateTimeField(blank=True, null=True)
        ),
    ]
