-- The demo's database: a small personal-finance application. :customers is replaced by a number.
CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text UNIQUE NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TABLE categories (id int PRIMARY KEY, title text NOT NULL);
CREATE TABLE accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    iban text NOT NULL,
    opened_on date NOT NULL
);
CREATE TABLE transactions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    category_id int REFERENCES categories,
    booked_at timestamptz NOT NULL,
    amount numeric(12, 2) NOT NULL,
    description text
);
-- A rule without an owner is everybody's.
CREATE TABLE rules (
    id int PRIMARY KEY,
    user_id uuid REFERENCES users ON DELETE CASCADE,
    pattern text NOT NULL
);
-- Items belong to a person through their batch only.
CREATE TABLE ingestion_batches (
    id int PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    file_name text NOT NULL
);
CREATE TABLE ingestion_items (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id int NOT NULL REFERENCES ingestion_batches ON DELETE CASCADE,
    line jsonb NOT NULL
);
-- A referral is its owner's row and names somebody else.
CREATE TABLE referrals (
    id int PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    referred_id uuid REFERENCES users ON DELETE SET NULL
);
CREATE INDEX ON transactions (user_id);
CREATE INDEX ON transactions (booked_at);

INSERT INTO users
SELECT md5('user ' || i)::uuid, 'customer' || i || '@example.org', 'Customer ' || i,
       timestamptz '2024-01-01' + i * interval '1 hour'
FROM generate_series(1, :customers) i;
INSERT INTO categories
SELECT i, (ARRAY['Groceries', 'Housing', 'Health', 'Leisure'])[i] FROM generate_series(1, 4) i;
INSERT INTO accounts (user_id, iban, opened_on)
SELECT md5('user ' || 1 + i % :customers)::uuid, 'DE' || lpad(i::text, 20, '0'),
       date '2024-01-01' + i % 700
FROM generate_series(1, 2 * :customers) i;
INSERT INTO transactions (user_id, account_id, category_id, booked_at, amount, description)
SELECT a.user_id, a.id, 1 + (i % 4), timestamptz '2025-01-01' + i * interval '1 minute',
       (a.id * 7919 + i * 31) % 100000 / 100.0 - 300, 'CARD PAYMENT ' || i || E'\t– café'
FROM accounts a, generate_series(1, 20) i;
INSERT INTO rules
SELECT i, CASE WHEN i % 5 > 0 THEN md5('user ' || 1 + i % :customers)::uuid END, 'pattern ' || i
FROM generate_series(1, :customers) i;
INSERT INTO ingestion_batches
SELECT i, md5('user ' || 1 + i % :customers)::uuid, 'export-' || i || '.csv'
FROM generate_series(1, :customers) i;
INSERT INTO ingestion_items (batch_id, line)
SELECT b.id, jsonb_build_object('row', i, 'file', b.file_name)
FROM ingestion_batches b, generate_series(1, 5) i;
INSERT INTO referrals
SELECT i, md5('user ' || i)::uuid, md5('user ' || 1 + (i * 7) % :customers)::uuid
FROM generate_series(1, :customers) i;
