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
    op.create_table('catalogs',
    sa.Column('number', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('content', sa.Text(), nullable=False),
    sa.Column('applied_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('applied_by', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_catalogs'))
    )
    op.create_index(op.f('ix_catalogs_digest'), 'catalogs', ['digest'], unique=False)
    op.create_table('coupons',
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('terms', postgresql.JSONB(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('redeemed', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('code', name=op.f('pk_coupons'))
    )
    op.create_table('customers',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('email', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('locale', sa.Text(), nullable=True),
    sa.Column('timezone', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('erasure_wanted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('erased_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_customers')),
    sa.UniqueConstraint('email', name=op.f('uq_customers_email'))
    )
    op.create_index('customers_by_time', 'customers', ['created_at', 'id'], unique=False)
    op.create_index('customers_to_erase', 'customers', ['erasure_wanted_at', 'id'], unique=False, postgresql_where=sa.text('erasure_wanted_at IS NOT NULL AND erased_at IS NULL'))
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
    op.create_table('invoice_series',
    sa.Column('series', sa.Text(), nullable=False),
    sa.Column('last', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('series', name=op.f('pk_invoice_series'))
    )
    op.create_table('key_checks',
    sa.Column('ring', sa.Text(), nullable=False),
    sa.Column('key_id', sa.Text(), nullable=False),
    sa.Column('check_value', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('ring', 'key_id', name=op.f('pk_key_checks'))
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
    op.create_table('products',
    sa.Column('slug', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('blueprint', sa.Text(), nullable=False),
    sa.Column('policy', postgresql.JSONB(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('is_default', sa.Boolean(), nullable=False),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('slug', name=op.f('pk_products'))
    )
    op.create_index('one_default_product', 'products', ['is_default'], unique=True, postgresql_where=sa.text('is_default'))
    op.create_table('runs',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('scheduled_for', sa.DateTime(timezone=True), nullable=True),
    sa.Column('started_by', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('dry_run', sa.Boolean(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('planned_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('counts', postgresql.JSONB(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runs')),
    sa.UniqueConstraint('name', 'scheduled_for', name=op.f('uq_runs_name_scheduled_for'))
    )
    op.create_index('idle_runs', 'runs', ['name'], unique=False, postgresql_where=sa.text("counts->>'parts' = '0'"))
    op.create_index('one_run_under_way', 'runs', ['name', 'dry_run'], unique=True, postgresql_where=sa.text('finished_at IS NULL'))
    op.create_index('runs_by_name', 'runs', ['name', 'started_at', 'id'], unique=False)
    op.create_index('runs_by_time', 'runs', ['started_at', 'id'], unique=False)
    op.create_table('schedules',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('cron', sa.Text(), nullable=False),
    sa.Column('zone', sa.Text(), nullable=False),
    sa.Column('next_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_schedules'))
    )
    op.create_table('shop',
    sa.Column('one', sa.Boolean(), nullable=False),
    sa.Column('seller', postgresql.JSONB(), nullable=False),
    sa.Column('taxes', postgresql.JSONB(), nullable=False),
    sa.CheckConstraint('one', name=op.f('ck_shop_only_one')),
    sa.PrimaryKeyConstraint('one', name=op.f('pk_shop'))
    )
    op.create_table('sweeps',
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('swept_to', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('provider', 'kind', name=op.f('pk_sweeps'))
    )
    op.create_table('used_trials',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_used_trials'))
    )
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
    op.create_table('credit_balances',
    sa.Column('customer_id', sa.Uuid(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('balance', sa.BigInteger(), nullable=False),
    sa.Column('left_since', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint('balance >= 0', name=op.f('ck_credit_balances_not_negative')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_credit_balances_customer_id_customers')),
    sa.PrimaryKeyConstraint('customer_id', 'currency', name=op.f('pk_credit_balances'))
    )
    op.create_index('credit_left', 'credit_balances', ['left_since', 'customer_id'], unique=False, postgresql_where=sa.text('left_since IS NOT NULL'))
    op.create_table('plans',
    sa.Column('slug', sa.Text(), nullable=False),
    sa.Column('product', sa.Text(), nullable=False),
    sa.Column('key', sa.Integer(), nullable=True),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('limits', postgresql.JSONB(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['product'], ['products.slug'], name=op.f('fk_plans_product_products')),
    sa.PrimaryKeyConstraint('slug', name=op.f('pk_plans')),
    sa.UniqueConstraint('key', name=op.f('uq_plans_key'))
    )
    op.create_table('run_parts',
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('customer', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('did', postgresql.JSONB(), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_run_parts_run_id_runs'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('run_id', 'customer', name=op.f('pk_run_parts'))
    )
    op.create_index('run_parts_due', 'run_parts', ['run_id', 'customer'], unique=False, postgresql_where=sa.text("state = 'due'"))
    op.create_table('trials',
    sa.Column('customer_id', sa.Uuid(), nullable=False),
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('claimed_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_trials_customer_id_customers')),
    sa.PrimaryKeyConstraint('customer_id', name=op.f('pk_trials'))
    )
    op.create_table('prices',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('plan', sa.Text(), nullable=False),
    sa.Column('cycle', sa.Text(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('setup_fee', sa.BigInteger(), nullable=False),
    sa.Column('trial_days', sa.Integer(), nullable=False),
    sa.Column('collection', sa.Text(), nullable=False),
    sa.Column('trial_card', sa.Text(), nullable=False),
    sa.Column('ids', postgresql.JSONB(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('replaced_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['plan'], ['plans.slug'], name=op.f('fk_prices_plan_plans')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_prices'))
    )
    op.create_index('one_active_price', 'prices', ['plan', 'cycle', 'currency'], unique=True, postgresql_where=sa.text('active'))
    op.create_table('purchases',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('customer_id', sa.Uuid(), nullable=False),
    sa.Column('product', sa.Text(), nullable=False),
    sa.Column('plan', sa.Text(), nullable=False),
    sa.Column('price_id', sa.Uuid(), nullable=False),
    sa.Column('cycle', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('setup_fee', sa.BigInteger(), nullable=False),
    sa.Column('trial_days', sa.Integer(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=True),
    sa.Column('livemode', sa.Boolean(), nullable=False),
    sa.Column('contact', postgresql.JSONB(), nullable=False),
    sa.Column('parameters', postgresql.JSONB(), nullable=False),
    sa.Column('success_url', sa.Text(), nullable=False),
    sa.Column('cancel_url', sa.Text(), nullable=False),
    sa.Column('request_hash', sa.Text(), nullable=False),
    sa.Column('opened_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('state_since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('refunded', sa.BigInteger(), nullable=False),
    sa.Column('discount', sa.BigInteger(), nullable=False),
    sa.Column('coupon', postgresql.JSONB(), nullable=True),
    sa.Column('tax_added', sa.BigInteger(), nullable=False),
    sa.Column('tax', postgresql.JSONB(), nullable=False),
    sa.Column('buyer', postgresql.JSONB(), nullable=False),
    sa.Column('erased_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_purchases_customer_id_customers')),
    sa.ForeignKeyConstraint(['plan'], ['plans.slug'], name=op.f('fk_purchases_plan_plans')),
    sa.ForeignKeyConstraint(['price_id'], ['prices.id'], name=op.f('fk_purchases_price_id_prices')),
    sa.ForeignKeyConstraint(['product'], ['products.slug'], name=op.f('fk_purchases_product_products')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_purchases'))
    )
    op.create_index('purchases_by_customer', 'purchases', ['customer_id', 'opened_at', 'id'], unique=False)
    op.create_index('purchases_by_state', 'purchases', ['state', 'opened_at', 'id'], unique=False)
    op.create_index('purchases_by_time', 'purchases', ['opened_at', 'id'], unique=False)
    op.create_index('purchases_to_expire', 'purchases', ['expires_at'], unique=False, postgresql_where=sa.text("state = 'pending'"))
    op.create_table('collected',
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('provider_id', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('period_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cancels', sa.Boolean(), nullable=False),
    sa.Column('told', sa.Boolean(), nullable=False),
    sa.Column('looks', sa.Integer(), nullable=False),
    sa.Column('next_look_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_collected_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('purchase_id', name=op.f('pk_collected')),
    sa.UniqueConstraint('provider', 'provider_id', name=op.f('uq_collected_provider_provider_id'))
    )
    op.create_index('collected_to_look_at', 'collected', ['next_look_at'], unique=False, postgresql_where=sa.text('next_look_at IS NOT NULL'))
    op.create_table('credits',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('customer_id', sa.Uuid(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('purchase_id', sa.Uuid(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_credits_customer_id_customers')),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_credits_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_credits')),
    sa.UniqueConstraint('source', name=op.f('uq_credits_source'))
    )
    op.create_index('credits_by_customer', 'credits', ['customer_id', 'at', 'id'], unique=False)
    op.create_table('entitlements',
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('wanted', sa.Text(), nullable=False),
    sa.Column('reasons', postgresql.JSONB(), nullable=False),
    sa.Column('product', sa.Text(), nullable=False),
    sa.Column('plan', sa.Text(), nullable=False),
    sa.Column('blueprint', sa.Text(), nullable=False),
    sa.Column('parameters', postgresql.JSONB(), nullable=False),
    sa.Column('limits', postgresql.JSONB(), nullable=False),
    sa.Column('contact', postgresql.JSONB(), nullable=False),
    sa.Column('delete_after', sa.DateTime(timezone=True), nullable=True),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_entitlements_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('purchase_id', name=op.f('pk_entitlements'))
    )
    op.create_table('erasure_reports',
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('service', sa.Text(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_erasure_reports_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('purchase_id', 'service', name=op.f('pk_erasure_reports'))
    )
    op.create_table('notices',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('detail', postgresql.JSONB(), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_notices_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_notices'))
    )
    op.create_index('notices_by_purchase', 'notices', ['purchase_id', 'recorded_at'], unique=False)
    op.create_table('plan_changes',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('state_since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('from_plan', sa.Text(), nullable=False),
    sa.Column('to_plan', sa.Text(), nullable=False),
    sa.Column('price_id', sa.Uuid(), nullable=False),
    sa.Column('price', sa.BigInteger(), nullable=False),
    sa.Column('unused', sa.BigInteger(), nullable=False),
    sa.Column('cost', sa.BigInteger(), nullable=False),
    sa.Column('tax', postgresql.JSONB(), nullable=False),
    sa.Column('tax_added', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('period', sa.Integer(), nullable=False),
    sa.Column('until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('quoted_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('limits_before', postgresql.JSONB(), nullable=False),
    sa.ForeignKeyConstraint(['price_id'], ['prices.id'], name=op.f('fk_plan_changes_price_id_prices')),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_plan_changes_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_plan_changes'))
    )
    op.create_index('one_plan_change', 'plan_changes', ['purchase_id'], unique=True, postgresql_where=sa.text("state IN ('open', 'applying')"))
    op.create_index('plan_changes_by_purchase', 'plan_changes', ['purchase_id', 'quoted_at'], unique=False)
    op.create_table('redemptions',
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('coupon', sa.Text(), nullable=False),
    sa.Column('customer_id', sa.Uuid(), nullable=False),
    sa.Column('redeemed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('given_back_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['coupon'], ['coupons.code'], name=op.f('fk_redemptions_coupon_coupons')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_redemptions_customer_id_customers')),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_redemptions_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('purchase_id', name=op.f('pk_redemptions'))
    )
    op.create_index('redemptions_by_coupon', 'redemptions', ['coupon', 'redeemed_at', 'purchase_id'], unique=False)
    op.create_index('redemptions_by_customer', 'redemptions', ['coupon', 'customer_id'], unique=False, postgresql_where=sa.text('given_back_at IS NULL'))
    op.create_table('subscriptions',
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('state_since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('began_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('cycle', sa.Text(), nullable=False),
    sa.Column('plan', sa.Text(), nullable=False),
    sa.Column('price_id', sa.Uuid(), nullable=False),
    sa.Column('collection', sa.Text(), nullable=False),
    sa.Column('price', sa.BigInteger(), nullable=False),
    sa.Column('zone', sa.Text(), nullable=True),
    sa.Column('anchor', sa.DateTime(timezone=True), nullable=True),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('starts_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('held_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cancel_at_period_end', sa.Boolean(), nullable=False),
    sa.Column('resumes_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('resume_told', sa.Boolean(), nullable=False),
    sa.Column('ended_because', sa.Text(), nullable=True),
    sa.Column('consequence_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('warned', sa.Boolean(), nullable=False),
    sa.Column('next_step_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['plan'], ['plans.slug'], name=op.f('fk_subscriptions_plan_plans')),
    sa.ForeignKeyConstraint(['price_id'], ['prices.id'], name=op.f('fk_subscriptions_price_id_prices')),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_subscriptions_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('purchase_id', name=op.f('pk_subscriptions'))
    )
    op.create_index('subscriptions_by_state', 'subscriptions', ['state', 'began_at', 'purchase_id'], unique=False)
    op.create_index('subscriptions_by_time', 'subscriptions', ['began_at', 'purchase_id'], unique=False)
    op.create_index('subscriptions_collected', 'subscriptions', ['purchase_id'], unique=False, postgresql_where=sa.text("collection = 'provider' AND state <> 'ended'"))
    op.create_index('subscriptions_to_step', 'subscriptions', ['next_step_at'], unique=False, postgresql_where=sa.text('next_step_at IS NOT NULL'))
    op.create_table('charges',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('period', sa.Integer(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('customer_id', sa.Text(), nullable=False),
    sa.Column('method_id', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('provider_id', sa.Text(), nullable=True),
    sa.Column('code', sa.Text(), nullable=True),
    sa.Column('asked_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['purchase_id'], ['subscriptions.purchase_id'], name=op.f('fk_charges_purchase_id_subscriptions')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_charges')),
    sa.UniqueConstraint('provider', 'provider_id', name=op.f('uq_charges_provider_provider_id')),
    sa.UniqueConstraint('purchase_id', 'period', 'attempt', name=op.f('uq_charges_purchase_id_period_attempt'))
    )
    op.create_index('one_open_charge', 'charges', ['purchase_id'], unique=True, postgresql_where=sa.text("state = 'asked'"))
    op.create_table('checkouts',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('period', sa.Integer(), nullable=False),
    sa.Column('change_id', sa.Uuid(), nullable=True),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('provider_id', sa.Text(), nullable=True),
    sa.Column('url', sa.Text(), nullable=True),
    sa.Column('client', postgresql.JSONB(), nullable=False),
    sa.Column('opened_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('looks', sa.Integer(), nullable=False),
    sa.Column('next_look_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['change_id'], ['plan_changes.id'], name=op.f('fk_checkouts_change_id_plan_changes')),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_checkouts_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_checkouts')),
    sa.UniqueConstraint('provider', 'provider_id', name=op.f('uq_checkouts_provider_provider_id')),
    sa.UniqueConstraint('purchase_id', 'attempt', name=op.f('uq_checkouts_purchase_id_attempt'))
    )
    op.create_index('checkouts_to_look_at', 'checkouts', ['next_look_at'], unique=False, postgresql_where=sa.text('next_look_at IS NOT NULL'))
    op.create_table('mandates',
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('customer_id', sa.Text(), nullable=False),
    sa.Column('method_id', sa.Text(), nullable=False),
    sa.Column('saved_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('refused', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['purchase_id'], ['subscriptions.purchase_id'], name=op.f('fk_mandates_purchase_id_subscriptions')),
    sa.PrimaryKeyConstraint('purchase_id', name=op.f('pk_mandates'))
    )
    op.create_table('payments',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('payment_key', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('livemode', sa.Boolean(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('found_by', sa.Text(), nullable=False),
    sa.Column('refs', postgresql.JSONB(), nullable=False),
    sa.Column('reference', sa.Text(), nullable=True),
    sa.Column('purchase_id', sa.Uuid(), nullable=True),
    sa.Column('period', sa.Integer(), nullable=True),
    sa.Column('change_id', sa.Uuid(), nullable=True),
    sa.Column('pays_from', sa.DateTime(timezone=True), nullable=True),
    sa.Column('pays_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('review_reason', sa.Text(), nullable=True),
    sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['change_id'], ['plan_changes.id'], name=op.f('fk_payments_change_id_plan_changes')),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_payments_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_payments')),
    sa.UniqueConstraint('provider', 'payment_key', name=op.f('uq_payments_provider_payment_key'))
    )
    op.create_index('one_matched_payment', 'payments', ['purchase_id', 'period'], unique=True, postgresql_where=sa.text("state = 'matched'"))
    op.create_index('one_payment_of_change', 'payments', ['change_id'], unique=True, postgresql_where=sa.text("state = 'matched' AND change_id IS NOT NULL"))
    op.create_index('payments_by_purchase', 'payments', ['purchase_id'], unique=False)
    op.create_index('payments_by_state', 'payments', ['state', 'recorded_at', 'id'], unique=False)
    op.create_index('payments_by_time', 'payments', ['recorded_at', 'id'], unique=False)
    op.create_table('renewals',
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('price_id', sa.Uuid(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('discount', sa.BigInteger(), nullable=False),
    sa.Column('setup_fee', sa.BigInteger(), nullable=False),
    sa.Column('tax_added', sa.BigInteger(), nullable=False),
    sa.Column('credited', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('opened_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('charge_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['price_id'], ['prices.id'], name=op.f('fk_renewals_price_id_prices')),
    sa.ForeignKeyConstraint(['purchase_id'], ['subscriptions.purchase_id'], name=op.f('fk_renewals_purchase_id_subscriptions')),
    sa.PrimaryKeyConstraint('purchase_id', 'number', name=op.f('pk_renewals'))
    )
    op.create_index('one_open_renewal', 'renewals', ['purchase_id'], unique=True, postgresql_where=sa.text("state = 'open'"))
    op.create_table('disputes',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('dispute_id', sa.Text(), nullable=False),
    sa.Column('payment_id', sa.Uuid(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('deducted', sa.BigInteger(), nullable=False),
    sa.Column('told_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('looks', sa.Integer(), nullable=False),
    sa.Column('next_look_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_disputes_payment_id_payments')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_disputes')),
    sa.UniqueConstraint('provider', 'dispute_id', name=op.f('uq_disputes_provider_dispute_id'))
    )
    op.create_index('disputes_to_look_at', 'disputes', ['next_look_at'], unique=False, postgresql_where=sa.text('next_look_at IS NOT NULL'))
    op.create_index(op.f('ix_disputes_payment_id'), 'disputes', ['payment_id'], unique=False)
    op.create_table('invoices',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('number', sa.Text(), nullable=False),
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('customer_id', sa.Uuid(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('period', sa.Integer(), nullable=True),
    sa.Column('livemode', sa.Boolean(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('net', sa.BigInteger(), nullable=False),
    sa.Column('tax', sa.BigInteger(), nullable=False),
    sa.Column('total', sa.BigInteger(), nullable=False),
    sa.Column('credited', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('issued_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('paid_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('payment_id', sa.Uuid(), nullable=True),
    sa.Column('corrects', sa.Text(), nullable=True),
    sa.Column('seller', postgresql.JSONB(), nullable=False),
    sa.Column('buyer', postgresql.JSONB(), nullable=False),
    sa.Column('lines', postgresql.JSONB(), nullable=False),
    sa.ForeignKeyConstraint(['corrects'], ['invoices.number'], name=op.f('fk_invoices_corrects_invoices')),
    sa.ForeignKeyConstraint(['customer_id'], ['customers.id'], name=op.f('fk_invoices_customer_id_customers')),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_invoices_payment_id_payments')),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_invoices_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_invoices')),
    sa.UniqueConstraint('number', name=op.f('uq_invoices_number'))
    )
    op.create_index('invoices_by_customer', 'invoices', ['customer_id', 'issued_at', 'id'], unique=False)
    op.create_index('invoices_by_kind', 'invoices', ['kind', 'state', 'issued_at', 'id'], unique=False)
    op.create_index('invoices_by_purchase', 'invoices', ['purchase_id', 'issued_at', 'id'], unique=False)
    op.create_index('invoices_by_state', 'invoices', ['state', 'issued_at', 'id'], unique=False)
    op.create_index('invoices_by_time', 'invoices', ['issued_at', 'id'], unique=False)
    op.create_index(op.f('ix_invoices_corrects'), 'invoices', ['corrects'], unique=False)
    op.create_index('one_standing_invoice', 'invoices', ['purchase_id', 'source'], unique=True, postgresql_where=sa.text("state <> 'void'"))
    op.create_table('payment_refs',
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('value', sa.Text(), nullable=False),
    sa.Column('payment_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_payment_refs_payment_id_payments')),
    sa.PrimaryKeyConstraint('provider', 'value', name=op.f('pk_payment_refs'))
    )
    op.create_table('periods',
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('starts_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('lasts', sa.Interval(), nullable=False),
    sa.Column('price', sa.BigInteger(), nullable=False),
    sa.Column('payment_id', sa.Uuid(), nullable=False),
    sa.Column('opened_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_periods_payment_id_payments')),
    sa.ForeignKeyConstraint(['purchase_id'], ['subscriptions.purchase_id'], name=op.f('fk_periods_purchase_id_subscriptions')),
    sa.PrimaryKeyConstraint('purchase_id', 'number', name=op.f('pk_periods')),
    sa.UniqueConstraint('payment_id', name=op.f('uq_periods_payment_id'))
    )
    op.create_table('refund_requests',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('purchase_id', sa.Uuid(), nullable=False),
    sa.Column('payment_id', sa.Uuid(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('credit', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('refund_id', sa.Text(), nullable=True),
    sa.Column('requested_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_refund_requests_payment_id_payments')),
    sa.ForeignKeyConstraint(['purchase_id'], ['purchases.id'], name=op.f('fk_refund_requests_purchase_id_purchases')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_refund_requests'))
    )
    op.create_index(op.f('ix_refund_requests_payment_id'), 'refund_requests', ['payment_id'], unique=False)
    op.create_index(op.f('ix_refund_requests_purchase_id'), 'refund_requests', ['purchase_id'], unique=False)
    op.create_table('refunds',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.Text(), nullable=False),
    sa.Column('refund_id', sa.Text(), nullable=False),
    sa.Column('payment_id', sa.Uuid(), nullable=False),
    sa.Column('amount', sa.BigInteger(), nullable=False),
    sa.Column('currency', sa.Text(), nullable=False),
    sa.Column('failed', sa.Boolean(), nullable=False),
    sa.Column('booked_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('looks', sa.Integer(), nullable=False),
    sa.Column('next_look_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_refunds_payment_id_payments')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_refunds')),
    sa.UniqueConstraint('provider', 'refund_id', name=op.f('uq_refunds_provider_refund_id'))
    )
    op.create_index(op.f('ix_refunds_payment_id'), 'refunds', ['payment_id'], unique=False)
    op.create_index('refunds_to_look_at', 'refunds', ['next_look_at'], unique=False, postgresql_where=sa.text('next_look_at IS NOT NULL'))
