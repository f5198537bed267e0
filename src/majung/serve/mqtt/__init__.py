"""The door for phones that report over an MQTT broker, and the way their friends go back.

Guarantees
- A message is acknowledged to the broker when its positions are durable in the log, in the order of arrival,
  and not before. The broker keeps the rest for as long as `mqtt.session_for`, over a restart of either side.
- No message stops the ones behind it: what cannot be read, believed or attributed is quarantined with a reason
  and acknowledged. Only a log that takes nothing stops the reading, and then the broker holds everything.
- Whom a message is from is said by its topic TOPIC/USER/DEVICE and nothing in it. It is the broker's access
  list that makes this true (`deploy/mosquitto/acl`).
- Friends go to FRIENDS_TOPIC/USER/FRIEND, never retained, each as `friends.nearby` says at that moment.
- The broker may come and go; nothing else on this server notices.

Neighbours: `wire/owntracks.py` reads and writes payloads, `auth/reporters.py` knows who a USER is,
`positions/ingest.py` makes positions durable, `friends/nearby.py` says who is near. Needs the extra `majung[mqtt]`.
"""
