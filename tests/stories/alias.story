A host that is hit and then hits: one name for the target of the first and the source of the second.

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
title: b
id: 6ae8efab-031d-45dc-8e35-acefbc4b41ab
name: b
status: test
logsource:
  category: story
detection:
  selection:
    kind: b
  condition: selection
level: low
alerts: false
---
title: turned
id: 149a963d-4cc5-42d9-b6af-fe7e24af0436
name: turned
status: test
correlation:
  type: temporal_ordered
  rules:
    - a
    - b
  group-by:
    - host
  timespan: 1h
  aliases:
    host:
      a: dst_endpoint.ip
      b: src_endpoint.ip
level: medium
alerts: true
== events
100 kind=a src=10.0.0.1 dst=10.0.0.2
200 kind=b src=10.0.0.2 dst=10.0.0.3
300 kind=b src=10.0.0.4 dst=10.0.0.5
400 kind=a src=10.0.0.1 dst=10.0.0.4
== alerts
turned host=10.0.0.2 100..200 events=2
