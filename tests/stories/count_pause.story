A real pause of the file is believed: two before and one after are not three.

== rules
title: a
id: c25cdf80-d2ad-4762-9d8e-3318eeed3dd6
name: a
status: test
logsource:
  category: story
detection:
  selection:
    kind: a
  condition: selection
level: low
alerts: false
---
title: count
id: cd3b78f9-e795-46cb-bef1-d882e3fdf4bc
name: count
status: test
correlation:
  type: event_count
  rules:
    - a
  group-by:
    - src_endpoint.ip
  timespan: 60s
  condition:
    gte: 3
level: medium
alerts: true
== events
100 kind=a src=10.0.0.1
101 kind=a src=10.0.0.1
90000 kind=a src=10.0.0.1
90030 kind=b src=10.0.0.1
== alerts

