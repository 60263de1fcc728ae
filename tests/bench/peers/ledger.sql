-- A personal-finance ledger: the standard data set of the benchmark.
--
--     psql -v people=100000 -v accounts=250000 -v transactions=5000000 -v owners=100000 -f ledger.sql
--
-- `owners` is how many of the people have the accounts, and so the transactions: all of them in the
-- even case, one where a single person owns everything. The seed is fixed: the same variables give
-- the same rows.
create table users(id uuid primary key, email text unique not null, name text not null,
  locale text default 'de-DE', created_at timestamptz not null, password_hash text);
create table accounts(id bigserial primary key, user_id uuid not null references users,
  name text, institution text, iban text, currency char(3) default 'EUR', created_at timestamptz);
create table categories(id serial primary key, name text);
create table transactions(id bigserial primary key, user_id uuid not null references users,
  account_id bigint not null references accounts, category_id int references categories,
  booked_at timestamptz not null, amount numeric(12,2) not null, currency char(3),
  description text, merchant text, key_desc text, confidence int, needs_review boolean);

select setseed(0.42);

insert into categories(name) select unnest(array['Groceries','Markets','Side income','Other','Leisure',
  'Shopping','Loans','Internal','Transport','Housing','Health','Work']);

-- Half of what a person's row holds is digests, which nothing compresses.
insert into users select md5('u'||i)::uuid,
  'user'||i||'@'||(array['gmail.com','gmx.de','web.de','proton.me','example.org'])[1+i%5],
  (array['Anna','Bruno','Carla','David','Eva','Felix','Greta','Hans'])[1+(i*7)%8]||' '||
  (array['Silva','Meyer','Schmidt','Costa','Souza','Weber','Fischer'])[1+(i*13)%7]||i,
  'de-DE', timestamptz '2026-01-01'-(i%1000)*interval '1 day',
  '$2b$12$'||md5(i::text)||md5((i+1)::text) from generate_series(1,:people) i;

insert into accounts(user_id,name,institution,iban,created_at)
select md5('u'||(1+i%:owners))::uuid, (array['Giro','Visa','Amex','Cash'])[1+i%4],
  (array['Sparkasse','DKB','Amex','M&M'])[1+(i*3)%4],
  'DE'||lpad((random()*1e18)::bigint::text,20,'0'),
  timestamptz '2026-01-01'-(i%1000)*interval '1 day' from generate_series(1,:accounts) i;

-- Each goes to a random account: a person has about as many as any other.
insert into transactions(user_id,account_id,category_id,booked_at,amount,currency,description,merchant,
  key_desc,confidence,needs_review)
select a.user_id, a.id, 1+(random()*11)::int, timestamptz '2024-01-01'+ (g*16)*interval '1 second',
  round((random()*random()*500-150)::numeric,2), 'EUR',
  m||' SAGT DANKE '||(random()*1e8)::int||' '||c||' '||
    to_char(timestamptz '2024-01-01'+ (g*16)*interval '1 second','DD.MM.YYYY'),
  m, lower(m)||' -- '||c||' -- eur', (random()*100)::int, random()<0.1
from (select g, 1+(random()*(:accounts-1))::int aid,
  (array['REWE','EDEKA','LIDL','AMAZON','NETFLIX','SPOTIFY','DB VERTRIEB','SHELL','ARAL','IKEA',
         'ZALANDO','ROSSMANN','DM','PAYPAL','APPLE'])[1+(random()*14)::int] m,
  (array['BERLIN','MUENCHEN','HAMBURG','KOELN','FRANKFURT'])[1+(random()*4)::int] c
  from generate_series(1,:transactions) g) s join accounts a on a.id=s.aid;

create index on transactions(user_id);
create index on transactions(booked_at);
create index on accounts(user_id);
vacuum analyze;
