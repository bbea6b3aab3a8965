-- Accounts that nobody owns since they have nothing to do. A process whose accounts a source gives looks
-- at none of them before something is handed over or asked for one, however many there are.

ALTER TABLE accounts ADD COLUMN idle boolean NOT NULL DEFAULT false;
CREATE INDEX accounts_busy ON accounts (account) WHERE NOT idle;
