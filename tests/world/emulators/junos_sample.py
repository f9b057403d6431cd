"""A whole running configuration of a Junos router."""

SAMPLE = """
version 21.4R3.15;
groups {
    members {
        interfaces {
            <*> {
                mtu 9192;
            }
        }
    }
}
apply-groups members;
system {
    host-name r1;
    root-authentication {
        encrypted-password "$6$Yx1;{2}$kq"; ## SECRET-DATA
    }
    login {
        message "Authorised users only; { route 10.96.0.0/12 next-hop 10.9.9.9; }";
    }
    services {
        netconf {
            ssh;
        }
    }
}
interfaces {
    et-0/0/0 {
        description "nodes; routing-options { static { route 10.96.0.0/12 discard; } }";
        unit 0 {
            family inet {
                address 10.192.0.254/24;
            }
            family inet6 {
                address fd10:192::fe/64;
            }
        }
    }
    et-0/0/1 {
        unit 0 {
            family inet {
                address 10.9.0.1/24;
            }
        }
    }
}
routing-options {
    rib inet6.0 {
        static {
            route 2001:db8:f::/48 next-hop fd10:192::fd;
        }
    }
    static {
        /* the office */
        route 172.20.0.0/16 {
            next-hop 10.192.0.253;
            qualified-next-hop 10.192.0.252 {
                preference 170;
            }
            no-readvertise;
        }
        route 10.97.10.2/32 next-hop 10.192.0.253;
        inactive: route 10.98.0.0/16 next-hop 10.192.0.253;
        route 198.18.0.0/15 discard;
    }
    forwarding-table {
        export ecmp;
    }
}
protocols {
    lldp {
        interface all;
    }
}
policy-options {
    policy-statement ecmp {
        then {
            load-balance per-packet;
        }
    }
}
routing-instances {
    red {
        instance-type virtual-router;
        interface et-0/0/1.0;
        routing-options {
            static {
                route 10.96.0.0/12 next-hop 10.9.0.9;
            }
        }
    }
}
"""
