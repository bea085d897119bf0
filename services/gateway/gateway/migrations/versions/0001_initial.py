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
    op.create_table('audit',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('event_id', sa.Uuid(), nullable=False),
    sa.Column('time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('service', sa.Text(), nullable=False),
    sa.Column('actor', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('action', sa.Text(), nullable=False),
    sa.Column('target', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('before', postgresql.JSONB(), nullable=False),
    sa.Column('after', postgresql.JSONB(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit')),
    sa.UniqueConstraint('event_id', name=op.f('uq_audit_event_id'))
    )
    op.create_index('ix_audit_action_id', 'audit', ['action', 'id'], unique=False)
    op.create_index('ix_audit_actor_id', 'audit', ['actor', 'id'], unique=False)
    op.create_index('ix_audit_target_id', 'audit', ['target', 'id'], unique=False)
    op.create_table('checkout_keys',
    sa.Column('key', sa.LargeBinary(), nullable=False),
    sa.Column('request', sa.LargeBinary(), nullable=False),
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_checkout_keys'))
    )
    op.create_index(op.f('ix_checkout_keys_created'), 'checkout_keys', ['created'], unique=False)
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
    op.create_table('journey_events',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('event_id', sa.Uuid(), nullable=False),
    sa.Column('purchase_id', sa.Uuid(), nullable=True),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('publisher', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('cause', sa.Uuid(), nullable=True),
    sa.Column('data', postgresql.JSONB(), nullable=False),
    sa.Column('received', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_journey_events')),
    sa.UniqueConstraint('event_id', name=op.f('uq_journey_events_event_id'))
    )
    op.create_index('ix_journey_events_cause', 'journey_events', ['cause'], unique=False, postgresql_where=sa.text('cause IS NOT NULL'))
    op.create_index('ix_journey_events_purchase_id_id', 'journey_events', ['purchase_id', 'id'], unique=False, postgresql_where=sa.text('purchase_id IS NOT NULL'))
    op.create_table('journey_refs',
    sa.Column('ref', sa.Text(), nullable=False),
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.PrimaryKeyConstraint('ref', name=op.f('pk_journey_refs'))
    )
    op.create_index(op.f('ix_journey_refs_purchase_id'), 'journey_refs', ['purchase_id'], unique=False)
    op.create_table('journeys',
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('purchase_status', sa.Text(), nullable=False),
    sa.Column('domain', sa.Text(), nullable=True),
    sa.Column('facts', postgresql.JSONB(), nullable=False),
    sa.Column('last_event', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('purchase_id', name=op.f('pk_journeys'))
    )
    op.create_index('ix_journeys_created', 'journeys', ['created'], unique=False)
    op.create_table('key_checks',
    sa.Column('ring', sa.Text(), nullable=False),
    sa.Column('key_id', sa.Text(), nullable=False),
    sa.Column('check_value', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('ring', 'key_id', name=op.f('pk_key_checks'))
    )
    op.create_table('operators',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_operators')),
    sa.UniqueConstraint('name', name=op.f('uq_operators_name'))
    )
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
    op.create_table('rate_buckets',
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('tokens', sa.Double(), nullable=False),
    sa.Column('granted', sa.Boolean(), nullable=False),
    sa.Column('updated', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_rate_buckets')),
    prefixes=['UNLOGGED']
    )
    op.create_index('ix_rate_buckets_updated', 'rate_buckets', ['updated'], unique=False)
    op.create_table('sessions',
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.Column('customer_id', sa.Uuid(), nullable=False),
    sa.Column('signed_in', sa.DateTime(timezone=True), nullable=False),
    sa.Column('made', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('hash', name=op.f('pk_sessions'))
    )
    op.create_index('ix_sessions_customer_id_signed_in', 'sessions', ['customer_id', 'signed_in'], unique=False)
    op.create_index(op.f('ix_sessions_expires'), 'sessions', ['expires'], unique=False)
    op.create_table('sign_in_links',
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.Column('customer_id', sa.Uuid(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('hash', name=op.f('pk_sign_in_links'))
    )
    op.create_index(op.f('ix_sign_in_links_customer_id'), 'sign_in_links', ['customer_id'], unique=False)
    op.create_index(op.f('ix_sign_in_links_expires'), 'sign_in_links', ['expires'], unique=False)
    op.create_table('webhooks',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('event_id', sa.Text(), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('livemode', sa.Boolean(), nullable=True),
    sa.Column('api_version', sa.Text(), nullable=True),
    sa.Column('headers', postgresql.JSONB(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('received', sa.DateTime(timezone=True), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('cause', sa.Text(), nullable=True),
    sa.Column('reprocessed', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhooks')),
    sa.UniqueConstraint('provider', 'digest', name='uq_webhooks_digest'),
    sa.UniqueConstraint('provider', 'event_id', name=op.f('uq_webhooks_provider_event_id'))
    )
    op.create_index('ix_webhooks_state_provider_id', 'webhooks', ['state', 'provider', 'id'], unique=False)
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
    op.create_table('tokens',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('operator_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.Column('hint', sa.Text(), nullable=False),
    sa.Column('created', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_used', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['operator_id'], ['operators.id'], name=op.f('fk_tokens_operator_id_operators')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tokens')),
    sa.UniqueConstraint('hash', name=op.f('uq_tokens_hash'))
    )
    op.create_index(op.f('ix_tokens_operator_id'), 'tokens', ['operator_id'], unique=False)
