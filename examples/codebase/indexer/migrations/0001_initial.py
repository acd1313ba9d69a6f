"""The table of the source files."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="SourceFile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("path", models.TextField(unique=True)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("size", models.PositiveBigIntegerField(null=True)),
                ("encoding", models.CharField(blank=True, max_length=40)),
                ("lines", models.PositiveIntegerField(null=True)),
                ("functions", models.PositiveIntegerField(null=True)),
                ("classes", models.PositiveIntegerField(null=True)),
            ],
        ),
    ]
