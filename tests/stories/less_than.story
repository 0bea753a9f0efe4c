Fewer than is judged when nobody can come any more.

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
title: few
id: a13a7fd7-1d0a-4a95-9101-afbfdbe756f8
name: few
status: test
correlation:
  type: event_count
  rules:
    - a
  group-by:
    - src_endpoint.ip
  timespan: 60s
  condition:
    lt: 2
level: medium
alerts: true
== events
100 kind=a src=10.0.0.1
101 kind=a src=10.0.0.2
102 kind=a src=10.0.0.2
400 kind=b src=10.0.0.3
== alerts
few src_endpoint.ip=10.0.0.1 100..100 events=1
