"""The SQL of groups, invitations, requests and blocks; tables in migration `0011_friends`."""


# -------------------------------------------------------------------------------------- invitations

INSERT_INVITATION = """
INSERT INTO friend_invitation (invitation_id, token_sha256, owner, created_ms, expires_ms)
VALUES (:invitation_id, :token_sha256, :owner, :now_ms, :expires_ms)
"""
COUNT_INVITATIONS = """
SELECT COUNT(*) FROM friend_invitation
WHERE owner = :owner AND accepted_by IS NULL AND expires_ms > :now_ms
"""
SELECT_INVITATIONS = """
SELECT invitation_id, created_ms, expires_ms FROM friend_invitation
WHERE owner = :owner AND accepted_by IS NULL AND expires_ms > :now_ms ORDER BY created_ms, invitation_id
"""
SELECT_INVITATION = """
SELECT i.invitation_id, i.expires_ms, i.accepted_by, p.number, p.person_id, p.name, p.display_name, i.created_ms
FROM friend_invitation i JOIN friend_person p ON p.number = i.owner WHERE i.token_sha256 = :token_sha256
"""
# Returns the id when this call is the one that used it: of two at once, exactly one does.
USE_INVITATION = """
UPDATE friend_invitation SET accepted_by = :viewer, accepted_ms = :now_ms
WHERE invitation_id = :invitation_id AND accepted_by IS NULL RETURNING invitation_id
"""
DELETE_INVITATION = "DELETE FROM friend_invitation WHERE invitation_id = :invitation_id AND owner = :owner"
DELETE_OLD_INVITATIONS = "DELETE FROM friend_invitation WHERE expires_ms < :before_ms"

# ------------------------------------------------------------------------------------------ requests

# `declined`: 0 open, 1 declined, 2 declined and taken back, which is kept so that asking anew stays declined.
INSERT_REQUEST = """
INSERT INTO friend_request (request_id, asker, name, asked_ms) VALUES (:request_id, :asker, :name, :now_ms)
ON CONFLICT (asker, name) DO UPDATE
    SET request_id = excluded.request_id, asked_ms = excluded.asked_ms, declined = 1
    WHERE friend_request.declined = 2
"""
COUNT_REQUESTS = "SELECT COUNT(*) FROM friend_request WHERE asker = :asker AND name <> :name AND declined < 2"
SELECT_OUTGOING = """
SELECT request_id, name, asked_ms FROM friend_request WHERE asker = :asker AND asked_ms > :since_ms AND declined < 2
ORDER BY asked_ms DESC, request_id
"""
# Of those who were not blocked and not declined.
SELECT_INCOMING = """
SELECT p.person_id, p.name, p.display_name, r.asked_ms
FROM friend_request r JOIN friend_person p ON p.number = r.asker
WHERE r.name = :name AND r.declined = 0 AND r.asked_ms > :since_ms AND r.asker <> :owner
    AND NOT EXISTS (SELECT 1 FROM friend_block b WHERE b.owner = :owner AND b.blocked = r.asker)
ORDER BY r.asked_ms DESC, r.request_id LIMIT :limit
"""
SELECT_REQUEST_OF = """
SELECT declined FROM friend_request
WHERE asker = :asker AND name = :name AND asked_ms > :since_ms AND declined < 2
"""
DECLINE_REQUEST = """
UPDATE friend_request SET declined = 1 WHERE asker = :asker AND name = :name AND declined = 0
"""
TAKE_REQUEST_BACK = (
    "UPDATE friend_request SET declined = 2 WHERE request_id = :request_id AND asker = :asker AND declined = 1",
    "DELETE FROM friend_request WHERE request_id = :request_id AND asker = :asker AND declined = 0",
)
DELETE_REQUEST_TO = "DELETE FROM friend_request WHERE asker = :asker AND name = :name"
DELETE_OLD_REQUESTS = "DELETE FROM friend_request WHERE asked_ms <= :before_ms"

# -------------------------------------------------------------------------------------------- blocks

INSERT_BLOCK = """
INSERT INTO friend_block (owner, blocked, at_ms) VALUES (:owner, :viewer, :now_ms)
ON CONFLICT (owner, blocked) DO NOTHING
"""
DELETE_BLOCK = "DELETE FROM friend_block WHERE owner = :owner AND blocked = :viewer"
COUNT_BLOCKS = "SELECT COUNT(*) FROM friend_block WHERE owner = :owner"
IS_BLOCKED = "SELECT 1 FROM friend_block WHERE owner = :owner AND blocked = :viewer"
SELECT_BLOCKED = """
SELECT p.person_id, p.name, p.display_name, b.at_ms
FROM friend_block b JOIN friend_person p ON p.number = b.blocked
WHERE b.owner = :owner ORDER BY b.at_ms DESC, p.person_id
"""

# -------------------------------------------------------------------------------------------- groups

INSERT_GROUP = """
INSERT INTO friend_group (group_id, owner, name, mode, precision, until_ms, history, since_ms, created_ms)
VALUES (:group_id, :owner, :name, :mode, :precision, :until_ms, :history, :since_ms, :now_ms)
"""
COUNT_GROUPS = "SELECT COUNT(*) FROM friend_group WHERE owner = :owner"
SELECT_GROUPS = """
SELECT group_id, name, mode, precision, until_ms, history, since_ms FROM friend_group
WHERE owner = :owner ORDER BY name, group_id
"""
SELECT_GROUP = """
SELECT name, mode, precision, until_ms, history, since_ms FROM friend_group
WHERE group_id = :group_id AND owner = :owner
"""
SET_GROUP = """
UPDATE friend_group SET name = :name, mode = :mode, precision = :precision, until_ms = :until_ms,
    history = :history, since_ms = :since_ms
WHERE group_id = :group_id AND owner = :owner
"""
DELETE_GROUP = "DELETE FROM friend_group WHERE group_id = :group_id AND owner = :owner"
SELECT_MEMBERS = """
SELECT m.group_id, p.person_id FROM friend_member m JOIN friend_person p ON p.number = m.viewer
WHERE m.owner = :owner ORDER BY p.display_name, p.person_id
"""
SELECT_MEMBER = """
SELECT 1 FROM friend_member WHERE owner = :owner AND viewer = :viewer AND group_id = :group_id
"""
INSERT_MEMBER = "INSERT INTO friend_member (owner, viewer, group_id) VALUES (:owner, :viewer, :group_id)"
DELETE_MEMBER = """
DELETE FROM friend_member WHERE owner = :owner AND viewer = :viewer AND group_id = :group_id
"""
DELETE_MEMBERS = "DELETE FROM friend_member WHERE owner = :owner AND group_id = :group_id"
DELETE_MEMBERSHIPS = "DELETE FROM friend_member WHERE owner = :owner AND viewer = :viewer"
TOUCH_MEMBERS = """
UPDATE friend_tie SET changed_ms = :now_ms WHERE owner = :owner
    AND viewer IN (SELECT viewer FROM friend_member WHERE owner = :owner AND group_id = :group_id)
"""

# ------------------------------------------------------------------------------------------- erasing

ERASE_OF = (
    "DELETE FROM friend_member WHERE owner = :number OR viewer = :number",
    "DELETE FROM friend_group WHERE owner = :number",
    "DELETE FROM friend_invitation WHERE owner = :number",
    "UPDATE friend_invitation SET accepted_by = 0 WHERE accepted_by = :number",
    "DELETE FROM friend_request WHERE asker = :number",
    "DELETE FROM friend_block WHERE owner = :number OR blocked = :number",
)
DELETE_REQUESTS_NAMED = "DELETE FROM friend_request WHERE name = :name"
