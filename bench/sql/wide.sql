-- The usual design, to compare with: one wide row, and history that is written beside it.
CREATE TABLE wide_tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    status varchar(20) NOT NULL,
    message text NOT NULL DEFAULT '',
    desired jsonb NOT NULL,
    observed jsonb NOT NULL DEFAULT '{}',
    labels jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX wide_tenants_status ON wide_tenants (status);
CREATE INDEX wide_tenants_updated ON wide_tenants (updated_at);
CREATE INDEX wide_tenants_labels ON wide_tenants USING gin (labels);
CREATE TABLE wide_history (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL REFERENCES wide_tenants (id) ON DELETE CASCADE,
    from_status varchar(20),
    to_status varchar(20) NOT NULL,
    reason text NOT NULL,
    triggered_by text NOT NULL,
    snapshot jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX wide_history_tenant ON wide_history (tenant_id);
CREATE INDEX wide_history_at ON wide_history (created_at);
CREATE INDEX wide_history_to ON wide_history (to_status);
