"""Runs migrations on the connection that `agentnet.traces.schema` hands over."""

from alembic import context

from agentnet.traces.models import Base
from agentnet.traces.schema import VERSION_TABLE, ignore_others

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    include_object=ignore_others,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
