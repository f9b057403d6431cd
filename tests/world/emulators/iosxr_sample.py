"""A whole running configuration of an IOS-XR router, as it prints it."""

SAMPLE = """\
!! IOS XR Configuration 7.3.2
hostname edge1
banner motd ^C
Authorised access only. Ask before you change
router static
 address-family ipv4 unicast
  10.96.0.0/12 10.192.0.9
^C
domain name dc.example.net
domain lookup disable
vrf red
 address-family ipv4 unicast
 !
 address-family ipv6 unicast
 !
!
xml agent tty
 iteration off
!
line default
 transport input ssh
!
username netops
 group root-lr
 group cisco-support
 secret 10 $6$Jr0c$9AVqLkGcVFJ0Yl1
!
ipv4 access-list MGMT
 10 remark router static
 20 permit tcp 192.0.2.0/24 any eq ssh
!
interface Loopback0
 ipv4 address 198.51.100.1 255.255.255.255
!
interface MgmtEth0/RP0/CPU0/0
 ipv4 address 192.0.2.11 255.255.255.0
!
interface GigabitEthernet0/0/0/0
 description Kubernetes nodes; router static 10.96.0.0/12
 ipv4 address 10.192.0.254 255.255.255.0
 ipv6 address fd10:192::fe/64
!
interface GigabitEthernet0/0/0/1
 description uplink
 ipv4 address 203.0.113.2 255.255.255.252
!
interface GigabitEthernet0/0/0/2
 vrf red
 ipv4 address 172.16.0.254 255.255.255.0
 ipv6 address fd17:16::fe/64
!
prefix-set NODES
  # router static
  10.192.0.0/24
end-set
!
route-policy PASS
  pass
end-policy
!
router static
 maximum path ipv4 10000
 address-family ipv4 unicast
  0.0.0.0/0 203.0.113.1
  10.97.10.2/32 10.192.0.77 description other-team
  198.18.0.0/15 Null0 250 tag 77
  198.51.100.64/26 GigabitEthernet0/0/0/1 203.0.113.1 tag 4200 description "border link" metric 5
 !
 address-family ipv4 multicast
  10.192.0.0/16 203.0.113.1
 !
 address-family ipv6 unicast
  fd20::/48 fd10:192::77 bfd fast-detect minimum-interval 300 multiplier 3 tag 9
 !
 vrf red
  address-family ipv4 unicast
   10.97.10.2/32 172.16.0.1 tag 4201 description somebody-else
   10.250.0.0/16 172.16.0.1
  !
 !
!
router bgp 64512
 bgp router-id 198.51.100.1
 address-family ipv4 unicast
  network 198.51.100.1/32
 !
 neighbor 203.0.113.1
  remote-as 64500
  address-family ipv4 unicast
   route-policy PASS in
   route-policy PASS out
  !
 !
!
ssh server v2
ssh server netconf vrf default
netconf-yang agent
 ssh
!
end
"""
