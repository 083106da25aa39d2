"""What alembic runs for every migration; the connection comes from `reckon.serving.store.migrations.migrate`."""

from alembic import context

from reckon.serving.store.tables import METADATA, VERSION_TABLE

if hasattr(context, "config"):  # while alembic migrates; an import does nothing
    context.configure(
        connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSION_TABLE
    )
    with context.begin_transaction():
        context.run_migrations()
