"""The pages of the service, for people: server-rendered, without scripts (docs/service.md, "The pages").

Pages take their figures from `service.monitor` and their acts from `service.disputing`, and decide nothing. Who may see what
is one table (`entrance`), and a route that is not in it is closed to everybody.
"""
