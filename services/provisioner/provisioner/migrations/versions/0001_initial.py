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
    op.create_table('acme_accounts',
    sa.Column('directory', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('directory', name=op.f('pk_acme_accounts'))
    )
    op.create_table('certificates',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('fingerprint', sa.Text(), nullable=False),
    sa.Column('names', postgresql.JSONB(), nullable=False),
    sa.Column('challenge', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('given', sa.Text(), nullable=True),
    sa.Column('order_key', sa.Text(), nullable=True),
    sa.Column('order_url', sa.Text(), nullable=True),
    sa.Column('ordered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('key', sa.Text(), nullable=True),
    sa.Column('chain', sa.Text(), nullable=True),
    sa.Column('serial', sa.Text(), nullable=True),
    sa.Column('issued_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('renew_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('retry_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('trouble', sa.Text(), nullable=True),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('reminded', sa.Integer(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_certificates')),
    sa.UniqueConstraint('fingerprint', 'challenge', name=op.f('uq_certificates_fingerprint_challenge'))
    )
    op.create_index('certificates_by_order', 'certificates', ['ordered_at'], unique=False)
    op.create_table('challenges',
    sa.Column('place', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('zone', sa.Text(), nullable=False),
    sa.Column('certificate_id', sa.Uuid(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('place', name=op.f('pk_challenges'))
    )
    op.create_index(op.f('ix_challenges_certificate_id'), 'challenges', ['certificate_id'], unique=False)
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
    op.create_table('installs',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('state_since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('wanted', sa.Text(), nullable=False),
    sa.Column('reasons', postgresql.JSONB(), nullable=False),
    sa.Column('own_reasons', postgresql.JSONB(), nullable=False),
    sa.Column('product', sa.Text(), nullable=False),
    sa.Column('plan', sa.Text(), nullable=False),
    sa.Column('blueprint', sa.Text(), nullable=False),
    sa.Column('parameters', postgresql.JSONB(), nullable=False),
    sa.Column('limits', postgresql.JSONB(), nullable=False),
    sa.Column('contact', postgresql.JSONB(), nullable=False),
    sa.Column('delete_after', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('removal_asked', sa.Boolean(), nullable=False),
    sa.Column('applied', postgresql.JSONB(), nullable=True),
    sa.Column('failed_revision', sa.Integer(), nullable=True),
    sa.Column('settled', sa.Boolean(), nullable=False),
    sa.Column('repair', sa.Boolean(), nullable=False),
    sa.Column('optional_open', sa.Boolean(), nullable=False),
    sa.Column('subdomain', sa.Text(), nullable=True),
    sa.Column('url', sa.Text(), nullable=True),
    sa.Column('admin_url', sa.Text(), nullable=True),
    sa.Column('ready_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('activated_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_installs'))
    )
    op.create_index('installs_by_state', 'installs', ['state', 'created_at', 'id'], unique=False)
    op.create_index('installs_by_time', 'installs', ['created_at', 'id'], unique=False)
    op.create_table('key_checks',
    sa.Column('ring', sa.Text(), nullable=False),
    sa.Column('key_id', sa.Text(), nullable=False),
    sa.Column('check_value', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('ring', 'key_id', name=op.f('pk_key_checks'))
    )
    op.create_table('names',
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('owner', sa.Uuid(), nullable=False),
    sa.Column('reserved_until', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('kind', 'name', name=op.f('pk_names'))
    )
    op.create_index(op.f('ix_names_owner'), 'names', ['owner'], unique=False)
    op.create_index('reservations', 'names', ['reserved_until'], unique=False, postgresql_where=sa.text('reserved_until IS NOT NULL'))
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
    op.create_table('servers',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('target', sa.Text(), nullable=False),
    sa.Column('address', sa.Text(), nullable=False),
    sa.Column('publish_on', sa.Text(), nullable=False),
    sa.Column('memory', sa.BigInteger(), nullable=False),
    sa.Column('millicpus', sa.Integer(), nullable=False),
    sa.Column('slots', sa.Integer(), nullable=False),
    sa.Column('labels', postgresql.JSONB(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('used_memory', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('used_millicpus', sa.Integer(), server_default='0', nullable=False),
    sa.Column('used_slots', sa.Integer(), server_default='0', nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_servers'))
    )
    op.create_index('servers_by_target', 'servers', ['target', 'name'], unique=False)
    op.create_table('slots',
    sa.Column('target', sa.Text(), nullable=False),
    sa.Column('install_id', sa.Uuid(), nullable=False),
    sa.Column('resource', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('target', 'install_id', 'resource', name=op.f('pk_slots'))
    )
    op.create_index('slots_by_install', 'slots', ['install_id'], unique=False)
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
    op.create_table('allocations',
    sa.Column('pool', sa.Text(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('install_id', sa.Uuid(), nullable=False),
    sa.Column('resource', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['install_id'], ['installs.id'], name=op.f('fk_allocations_install_id_installs')),
    sa.PrimaryKeyConstraint('pool', 'number', name=op.f('pk_allocations')),
    sa.UniqueConstraint('install_id', 'resource', 'pool', name=op.f('uq_allocations_install_id_resource_pool'))
    )
    op.create_table('certificate_uses',
    sa.Column('install_id', sa.Uuid(), nullable=False),
    sa.Column('resource', sa.Text(), nullable=False),
    sa.Column('certificate_id', sa.Uuid(), nullable=False),
    sa.Column('released', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['certificate_id'], ['certificates.id'], name=op.f('fk_certificate_uses_certificate_id_certificates')),
    sa.ForeignKeyConstraint(['install_id'], ['installs.id'], name=op.f('fk_certificate_uses_install_id_installs')),
    sa.PrimaryKeyConstraint('install_id', 'resource', name=op.f('pk_certificate_uses'))
    )
    op.create_index('uses_by_certificate', 'certificate_uses', ['certificate_id', 'install_id'], unique=False)
    op.create_table('history',
    sa.Column('id', sa.Integer(), sa.Identity(always=True), nullable=False),
    sa.Column('install_id', sa.Uuid(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('what', sa.Text(), nullable=False),
    sa.Column('actor', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('detail', postgresql.JSONB(), nullable=False),
    sa.ForeignKeyConstraint(['install_id'], ['installs.id'], name=op.f('fk_history_install_id_installs')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_history'))
    )
    op.create_index('history_by_install', 'history', ['install_id', 'id'], unique=False)
    op.create_table('jobs',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('install_id', sa.Uuid(), nullable=False),
    sa.Column('action', sa.Text(), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('due', sa.DateTime(timezone=True), nullable=True),
    sa.Column('step', sa.Text(), nullable=True),
    sa.Column('detail', sa.Text(), nullable=True),
    sa.Column('cause', sa.Text(), nullable=True),
    sa.Column('undoing', sa.Boolean(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['install_id'], ['installs.id'], name=op.f('fk_jobs_install_id_installs')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_jobs'))
    )
    op.create_index('jobs_by_install', 'jobs', ['install_id', 'created_at'], unique=False)
    op.create_index('one_open_job', 'jobs', ['install_id'], unique=True, postgresql_where=sa.text("state IN ('pending', 'processing')"))
    op.create_table('placements',
    sa.Column('install_id', sa.Uuid(), nullable=False),
    sa.Column('resource', sa.Text(), nullable=False),
    sa.Column('server', sa.Text(), nullable=False),
    sa.Column('memory', sa.BigInteger(), nullable=False),
    sa.Column('millicpus', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['install_id'], ['installs.id'], name=op.f('fk_placements_install_id_installs')),
    sa.ForeignKeyConstraint(['server'], ['servers.name'], name=op.f('fk_placements_server_servers')),
    sa.PrimaryKeyConstraint('install_id', 'resource', name=op.f('pk_placements'))
    )
    op.create_index(op.f('ix_placements_server'), 'placements', ['server'], unique=False)
    op.create_table('resources',
    sa.Column('install_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('optional', sa.Boolean(), nullable=False),
    sa.Column('parameters', postgresql.JSONB(), nullable=False),
    sa.Column('customer_named', postgresql.JSONB(), nullable=False),
    sa.Column('needs', postgresql.JSONB(), nullable=False),
    sa.Column('intended_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('target', sa.Text(), nullable=True),
    sa.Column('notes', postgresql.JSONB(), nullable=False),
    sa.Column('outputs', postgresql.JSONB(), nullable=False),
    sa.Column('present_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('gone_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=True),
    sa.Column('cause', sa.Text(), nullable=True),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['install_id'], ['installs.id'], name=op.f('fk_resources_install_id_installs')),
    sa.PrimaryKeyConstraint('install_id', 'name', name=op.f('pk_resources'))
    )
    op.create_index('orphans', 'resources', ['install_id', 'name'], unique=False, postgresql_where=sa.text("state = 'orphan'"))
    op.create_index('resources_present', 'resources', ['kind', 'install_id', 'name'], unique=False, postgresql_where=sa.text("state = 'present'"))
    op.create_table('secrets',
    sa.Column('install_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('sealed', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['install_id'], ['installs.id'], name=op.f('fk_secrets_install_id_installs')),
    sa.PrimaryKeyConstraint('install_id', 'name', name=op.f('pk_secrets'))
    )
    op.create_table('setup_links',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('install_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('token_hash', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('claimed_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('operation', postgresql.JSONB(), nullable=True),
    sa.Column('detail', sa.Text(), nullable=True),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['install_id'], ['installs.id'], name=op.f('fk_setup_links_install_id_installs')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_setup_links')),
    sa.UniqueConstraint('install_id', 'number', name=op.f('uq_setup_links_install_id_number')),
    sa.UniqueConstraint('token_hash', name=op.f('uq_setup_links_token_hash'))
    )
    op.create_index('setup_links_to_expire', 'setup_links', ['expires_at'], unique=False, postgresql_where=sa.text("state = 'open'"))
    op.create_table('sites',
    sa.Column('hostname', sa.Text(collation='C'), nullable=False),
    sa.Column('install_id', sa.Uuid(), nullable=False),
    sa.Column('resource', sa.Text(), nullable=False),
    sa.Column('upstream', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('body_size', sa.Text(), nullable=False),
    sa.Column('certificate', sa.Text(), nullable=True),
    sa.Column('certificate_key', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['install_id'], ['installs.id'], name=op.f('fk_sites_install_id_installs')),
    sa.PrimaryKeyConstraint('hostname', name=op.f('pk_sites'))
    )
    op.create_index('sites_by_install', 'sites', ['install_id', 'resource'], unique=False)
    op.create_table('steps',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('operation', sa.Text(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('needs', postgresql.JSONB(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('due', sa.DateTime(timezone=True), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('detail', sa.Text(), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=True),
    sa.Column('waiting_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_steps_job_id_jobs')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_steps')),
    sa.UniqueConstraint('job_id', 'name', 'operation', name=op.f('uq_steps_job_id_name_operation'))
    )
