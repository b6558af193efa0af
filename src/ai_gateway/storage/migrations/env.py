"""What Alembic runs for each command: migrations on the connection that `migrate.upgrade` hands over."""

from alembic import context

from ai_gateway.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,
)
context.run_migrations()
