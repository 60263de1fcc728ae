-- A small application's database: people, what hangs off them, and what is everybody's.
SET search_path = public;
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
CREATE TABLE accounts (
    id bigint PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users,
    balance numeric(12, 2) NOT NULL
);
CREATE TABLE entries (
    id bigint PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts,
    memo text
);
-- Two ways to a person: somebody must decide.
CREATE TABLE referrals (
    id bigint PRIMARY KEY,
    referrer_id bigint NOT NULL REFERENCES users,
    referred_id bigint REFERENCES users
);
-- No foreign key says whose these are.
CREATE TABLE notes (id bigint PRIMARY KEY, author bigint, body text);
CREATE TABLE currencies (code text PRIMARY KEY, digits integer);

INSERT INTO users SELECT n, 'sparrow-' || n || '@sparrow.example' FROM generate_series(1, 5) n;
INSERT INTO accounts SELECT n, 1 + n % 5, n FROM generate_series(1, 10) n;
INSERT INTO entries SELECT n, 1 + n % 10, 'sparrow memo ' || n FROM generate_series(1, 40) n;
INSERT INTO referrals VALUES (1, 1, 2), (2, 2, 3), (3, 4, NULL);
INSERT INTO notes SELECT n, 1 + n % 5, 'sparrow note ' || n FROM generate_series(1, 5) n;
INSERT INTO currencies VALUES ('EUR', 2), ('JPY', 0);
