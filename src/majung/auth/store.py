"""The SQL of accounts, devices, grants, keys and refresh tokens; tables in migration `0001_accounts`.

Constants with the parameters they take; who uses them runs them through `ports.Database`.
"""
# ruff: noqa: S105 -- the names of these statements speak of passwords and tokens; there are none here

# ------------------------------------------------------------------------------------------ changes

SELECT_VERSION = "SELECT version FROM auth_change WHERE id = 1"
RAISE_VERSION = "UPDATE auth_change SET version = version + 1 WHERE id = 1"

# ----------------------------------------------------------------------------------------- accounts

# :name :role :password_hash :now_ms :rider_id :store_id
INSERT_ACCOUNT = """
INSERT INTO account (name, role, password_hash, created_at_ms, rider_id, store_id)
VALUES (:name, :role, :password_hash, :now_ms, :rider_id, :store_id)
"""
# A name that was revoked may be given again; its old tokens stay dead, because the generation goes up.
REVIVE_ACCOUNT = """
UPDATE account SET role = :role, password_hash = :password_hash, created_at_ms = :now_ms,
    revoked_at_ms = NULL, generation = generation + 1, rider_id = :rider_id, store_id = :store_id
WHERE name = :name
"""
SELECT_ACCOUNT = """
SELECT role, generation, password_hash, revoked_at_ms, rider_id, store_id FROM account WHERE name = :name
"""
GIVE_STORE = "UPDATE account SET store_id = :store_id WHERE name = :name"
# :after :limit
SELECT_ACCOUNTS = """
SELECT name, role, created_at_ms, revoked_at_ms, rider_id, store_id FROM account
WHERE name > :after ORDER BY name LIMIT :limit
"""
COUNT_ADMINS = "SELECT COUNT(*) FROM account WHERE role = 'admin'"
COUNT_OTHER_ADMINS = """
SELECT COUNT(*) FROM account WHERE role = 'admin' AND revoked_at_ms IS NULL AND name <> :name
"""
# For any account: one that is not a person's has no such devices.
REVOKE_PERSONS_DEVICES = """
UPDATE device SET revoked_at_ms = :now_ms WHERE revoked_at_ms IS NULL AND rider_id LIKE 'person-%'
    AND rider_id = (SELECT rider_id FROM account WHERE name = :name AND role = 'person')
"""
DELETE_PERSONS_DEVICES = """
DELETE FROM device WHERE rider_id LIKE 'person-%'
    AND rider_id = (SELECT rider_id FROM account WHERE name = :name AND role = 'person')
"""
DELETE_API_TOKENS = "DELETE FROM api_token WHERE account_name = :name"
ERASE_ACCOUNT = """
UPDATE account SET revoked_at_ms = :now_ms, generation = generation + 1, password_hash = '!', rider_id = ''
WHERE name = :name
"""
REVOKE_ACCOUNT = """
UPDATE account SET revoked_at_ms = :now_ms, generation = generation + 1
WHERE name = :name AND revoked_at_ms IS NULL
"""
CHANGE_PASSWORD = """
UPDATE account SET password_hash = :password_hash, generation = generation + 1
WHERE name = :name AND revoked_at_ms IS NULL
"""
REHASH_PASSWORD = (
    "UPDATE account SET password_hash = :password_hash WHERE name = :name AND password_hash = :was"
)

# --------------------------------------------------------------------------------------- API tokens

INSERT_API_TOKEN = """
INSERT INTO api_token (token_id, account_name, secret_sha256, created_at_ms)
VALUES (:token_id, :name, :secret_sha256, :now_ms)
"""
SELECT_API_TOKEN = """
SELECT t.secret_sha256, t.account_name, a.role, a.generation, a.rider_id, a.store_id
FROM api_token t JOIN account a ON a.name = t.account_name
WHERE t.token_id = :token_id AND t.revoked_at_ms IS NULL AND a.revoked_at_ms IS NULL
"""
REVOKE_API_TOKENS = """
UPDATE api_token SET revoked_at_ms = :now_ms WHERE account_name = :name AND revoked_at_ms IS NULL
"""

# ------------------------------------------------------------------------------------------ devices

INSERT_DEVICE = """
INSERT INTO device (device_id, rider_id, name, secret_sha256, created_at_ms)
VALUES (:device_id, :rider_id, :name, :secret_sha256, :now_ms)
"""
SELECT_DEVICE = (
    "SELECT rider_id, secret_sha256 FROM device WHERE device_id = :device_id AND revoked_at_ms IS NULL"
)
# :rider_id ('' for every rider) :after :limit
SELECT_DEVICES = """
SELECT device_id, rider_id, name, created_at_ms, revoked_at_ms FROM device
WHERE device_id > :after AND (:rider_id = '' OR rider_id = :rider_id) AND rider_id NOT LIKE 'person-%'
ORDER BY device_id LIMIT :limit
"""
SELECT_PERSONS_DEVICES = """
SELECT device_id, rider_id, name, created_at_ms, revoked_at_ms FROM device
WHERE device_id > :after AND rider_id = :rider_id ORDER BY device_id LIMIT :limit
"""
SELECT_DEVICE_STATE = "SELECT revoked_at_ms, rider_id FROM device WHERE device_id = :device_id"
REVOKE_DEVICE = """
UPDATE device SET revoked_at_ms = :now_ms WHERE device_id = :device_id AND revoked_at_ms IS NULL
"""

# ------------------------------------------------------------------------------------------- grants

PUT_GRANT = """
INSERT INTO viewer_grant (account_name, rider_id, until_ms, created_at_ms)
VALUES (:account, :rider_id, :until_ms, :now_ms)
ON CONFLICT (account_name, rider_id) DO UPDATE SET until_ms = excluded.until_ms
"""
DELETE_GRANT = "DELETE FROM viewer_grant WHERE account_name = :account AND rider_id = :rider_id"
DELETE_GRANTS_OF = "DELETE FROM viewer_grant WHERE account_name = :name"
DELETE_ENDED_GRANTS = "DELETE FROM viewer_grant WHERE until_ms <= :now_ms"
SELECT_GRANT = "SELECT until_ms FROM viewer_grant WHERE account_name = :account AND rider_id = :rider_id"
COUNT_GRANTS = "SELECT COUNT(*) FROM viewer_grant WHERE account_name = :account"
SELECT_LIVE_GRANTS = """
SELECT rider_id, until_ms FROM viewer_grant
WHERE account_name = :account AND (until_ms IS NULL OR until_ms > :now_ms) ORDER BY rider_id
"""

# --------------------------------------------------------------------------------------------- keys

INSERT_KEY = """
INSERT INTO signing_key (kid, algorithm, private_jwk, created_at_ms)
VALUES (:kid, :algorithm, :private_jwk, :now_ms)
"""
SELECT_KEYS = """
SELECT kid, algorithm, private_jwk, created_at_ms FROM signing_key ORDER BY created_at_ms DESC, kid
"""
RETIRE_KEYS = "UPDATE signing_key SET retired_at_ms = :now_ms WHERE retired_at_ms IS NULL"
DELETE_KEYS = "DELETE FROM signing_key WHERE retired_at_ms < :before_ms"

# ----------------------------------------------------------------------------------- refresh tokens

INSERT_REFRESH = """
INSERT INTO refresh_token (secret_sha256, family, subject, generation, created_at_ms, expires_at_ms)
VALUES (:secret_sha256, :family, :subject, :generation, :now_ms, :expires_at_ms)
"""
SELECT_REFRESH = """
SELECT family, subject, generation, expires_at_ms, used_at_ms, revoked_at_ms
FROM refresh_token WHERE secret_sha256 = :secret_sha256
"""
# Returns the family when this call is the one that used it: of two at once, exactly one does.
USE_REFRESH = """
UPDATE refresh_token SET used_at_ms = :now_ms
WHERE secret_sha256 = :secret_sha256 AND used_at_ms IS NULL RETURNING family
"""
REVOKE_FAMILY = (
    "UPDATE refresh_token SET revoked_at_ms = :now_ms WHERE family = :family AND revoked_at_ms IS NULL"
)
DELETE_REFRESH = "DELETE FROM refresh_token WHERE subject = :subject"
DELETE_OLD_REFRESH = "DELETE FROM refresh_token WHERE expires_at_ms < :now_ms"
# :subject :keep: a subject's oldest beyond so many
DELETE_SURPLUS_REFRESH = """
DELETE FROM refresh_token WHERE subject = :subject AND secret_sha256 NOT IN (
    SELECT secret_sha256 FROM refresh_token WHERE subject = :subject
    ORDER BY created_at_ms DESC LIMIT :keep
)
"""
