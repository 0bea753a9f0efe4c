Different values count, the same one over and over does not; tuples of two fields are different if one is.

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
title: ports
id: 66de7a5a-330d-4e46-b1f9-4385abb8eac9
name: ports
status: test
correlation:
  type: value_count
  rules:
    - a
  group-by:
    - src_endpoint.ip
  timespan: 60s
  condition:
    field: dst_endpoint.port
    gte: 3
level: medium
alerts: true
---
title: pairs
id: 644a63ee-a4ab-4af3-ad60-44aab1a3920d
name: pairs
status: test
correlation:
  type: value_count
  rules:
    - a
  group-by:
    - src_endpoint.ip
  timespan: 60s
  condition:
    field: [dst_endpoint.ip, dst_endpoint.port]
    gte: 4
level: medium
alerts: true
== events
1 kind=a src=10.0.0.1 dst=10.0.1.1 port=22
2 kind=a src=10.0.0.1 dst=10.0.1.1 port=22
3 kind=a src=10.0.0.1 dst=10.0.1.1 port=22
4 kind=a src=10.0.0.1 dst=10.0.1.1 port=23
5 kind=a src=10.0.0.1 dst=10.0.1.1 port=24
6 kind=a src=10.0.0.2 dst=10.0.1.1 port=22
7 kind=a src=10.0.0.2 dst=10.0.1.2 port=22
8 kind=a src=10.0.0.2 dst=10.0.1.3 port=23
9 kind=a src=10.0.0.2 dst=10.0.1.4 port=23
== alerts
ports src_endpoint.ip=10.0.0.1 1..5 events=5
pairs src_endpoint.ip=10.0.0.2 6..9 events=4
