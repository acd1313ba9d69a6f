"""Room for the pools of suspects. (On SQLite this rebuilds the table: the index goes first, so that it is not made again
in vain.)"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_ztask", "0006_pool")]

    operations = [
        migrations.AlterField(
            model_name="task",
            name="pool",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text='Where it runs: "greenlet", "process", or "" for what the node takes it to; "suspect" and '
                '"suspect-greenlet" (its node died while it held it): alone in a child process.',
                max_length=20,
            ),
        ),
    ]
