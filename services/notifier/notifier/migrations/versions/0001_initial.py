"""Initial."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '10s'")  # rather fail than hold up the version that still runs
    op.create_table('contacts',
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('email', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('locale', sa.Text(), nullable=True),
    sa.Column('timezone', sa.Text(), nullable=True),
    sa.Column('product', sa.Text(), nullable=False),
    sa.Column('store_name', sa.Text(), nullable=True),
    sa.Column('amount', sa.BigInteger(), nullable=True),
    sa.Column('currency', sa.Text(), nullable=True),
    sa.Column('deletes_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('purchase_id', name=op.f('pk_contacts'))
    )
    op.create_table('erasures',
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('customer_id', sa.Uuid(), nullable=False),
    sa.Column('asked', sa.DateTime(timezone=True), nullable=False),
    sa.Column('done', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('purchase_id', name=op.f('pk_erasures'))
    )
    op.create_index('ix_erasures_open', 'erasures', ['customer_id', 'purchase_id'], unique=False, postgresql_where=sa.text('done IS NULL'))
    op.create_table('inbox',
    sa.Column('consumer', sa.Text(), nullable=False),
    sa.Column('event_id', sa.Uuid(), nullable=False),
    sa.Column('received', sa.DateTime(timezone=True), nullable=False),
    sa.Column('handled', sa.DateTime(timezone=True), nullable=True),
    sa.Column('starts', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.PrimaryKeyConstraint('consumer', 'event_id', name=op.f('pk_inbox'))
    )
    op.create_index(op.f('ix_inbox_received'), 'inbox', ['received'], unique=False)
    op.create_table('key_checks',
    sa.Column('ring', sa.Text(), nullable=False),
    sa.Column('key_id', sa.Text(), nullable=False),
    sa.Column('check_value', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('ring', 'key_id', name=op.f('pk_key_checks'))
    )
    op.create_table('messages',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('purchase_id', sa.Uuid(), nullable=True),
    sa.Column('template', sa.Text(), nullable=False),
    sa.Column('fact', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), server_default=sa.text("'pending'"), nullable=False),
    sa.Column('details', postgresql.JSONB(), nullable=False),
    sa.Column('recipient', sa.Text(), nullable=True),
    sa.Column('token', sa.Text(), nullable=True),
    sa.Column('credentials', sa.Text(), nullable=True),
    sa.Column('link_number', sa.Integer(), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempts', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('code', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_messages')),
    sa.UniqueConstraint('template', 'fact', name=op.f('uq_messages_template_fact'))
    )
    op.create_index('ix_messages_purchase_id', 'messages', ['purchase_id', 'id'], unique=False)
    op.create_index('ix_messages_state', 'messages', ['state', 'id'], unique=False)
    op.create_table('outbox',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('event_id', sa.Uuid(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('wire', sa.Text(), nullable=False),
    sa.Column('time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('exchange', sa.Text(), nullable=False),
    sa.Column('routing_key', sa.Text(), nullable=False),
    sa.Column('traceparent', sa.Text(), nullable=True),
    sa.Column('cause', sa.Text(), nullable=True),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('due', sa.DateTime(timezone=True), nullable=False),
    sa.Column('published', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempts', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_outbox'))
    )
    op.create_index('ix_outbox_published', 'outbox', ['published'], unique=False, postgresql_where=sa.text('published IS NOT NULL'))
    op.create_index('ix_outbox_refused', 'outbox', ['subject', 'id'], unique=False, postgresql_where=sa.text('published IS NULL AND attempts > 0'))
    op.create_index('ix_outbox_unpublished', 'outbox', ['id'], unique=False, postgresql_where=sa.text('published IS NULL'))
    op.create_table('work',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=True),
    sa.Column('payload', postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=True),
    sa.Column('state', sa.Text(), server_default=sa.text("'open'"), nullable=False),
    sa.Column('due', sa.DateTime(timezone=True), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('again', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempts', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('fence', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('worker', sa.Text(), nullable=True),
    sa.Column('cause', sa.Text(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('history', postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
    sa.Column('traceparent', sa.Text(), nullable=True),
    sa.Column('causationid', sa.Text(), nullable=True),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('started', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_work'))
    )
    op.create_index('ix_work_dead', 'work', ['cause', 'created', 'id'], unique=False, postgresql_where=sa.text("state = 'dead'"))
    op.create_index('ix_work_dead_key', 'work', ['kind', 'key'], unique=False, postgresql_where=sa.text("state = 'dead'"))
    op.create_index('ix_work_due', 'work', ['kind', 'due'], unique=False, postgresql_where=sa.text("state = 'open'"))
    op.create_index('ix_work_finished', 'work', ['finished'], unique=False, postgresql_where=sa.text("state NOT IN ('open', 'dead')"))
    op.create_index('ix_work_listed', 'work', ['state', 'kind', 'created', 'id'], unique=False)
    op.create_index('ix_work_open', 'work', ['kind', 'key'], unique=True, postgresql_where=sa.text("state = 'open'"))
    op.create_table('attempts',
    sa.Column('message_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('started', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended', sa.DateTime(timezone=True), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=True),
    sa.Column('code', sa.Text(), nullable=True),
    sa.Column('reply', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['message_id'], ['messages.id'], name=op.f('fk_attempts_message_id_messages'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('message_id', 'number', name=op.f('pk_attempts'))
    )
