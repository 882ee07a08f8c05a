"""What Alembic runs for each command: the steps, on the connection that `migration` locked."""

from alembic import context

from pilothouse.kernel.database.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=metadata.schema,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
