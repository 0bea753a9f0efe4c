Together in any order; in order only one way round, even if the first comes late; equal times are in order.

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
title: both
id: 6fb9c96d-4ecc-4c5f-8236-7c87cf9008e8
name: both
status: test
correlation:
  type: temporal
  rules:
    - a
    - b
  group-by:
    - src_endpoint.ip
  timespan: 60s
level: medium
alerts: true
---
title: then
id: 61bf5cc8-5ca7-4b96-b13f-ae7a96c2b574
name: then
status: test
correlation:
  type: temporal_ordered
  rules:
    - a
    - b
  group-by:
    - src_endpoint.ip
  timespan: 60s
level: medium
alerts: true
== events
100 kind=b src=10.0.0.1
110 kind=a src=10.0.0.1
200 kind=a src=10.0.0.2
210 kind=b src=10.0.0.2
305 kind=b src=10.0.0.3
300 kind=a src=10.0.0.3
400 kind=b src=10.0.0.4
400 kind=a src=10.0.0.4
500 kind=a src=10.0.0.5
561 kind=b src=10.0.0.5
== alerts
both src_endpoint.ip=10.0.0.1 100..110 events=2
both src_endpoint.ip=10.0.0.2 200..210 events=2
then src_endpoint.ip=10.0.0.2 200..210 events=2
both src_endpoint.ip=10.0.0.3 300..305 events=2
then src_endpoint.ip=10.0.0.3 300..305 events=2
both src_endpoint.ip=10.0.0.4 400..400 events=2
then src_endpoint.ip=10.0.0.4 400..400 events=2
