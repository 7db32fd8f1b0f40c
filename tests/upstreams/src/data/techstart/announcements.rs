//! What TechStart tells its customers.

use time::macros::datetime;

use super::Announcement;

pub(super) fn all() -> Vec<Announcement> {
    vec![
        Announcement {
            title: "User conference in Austin",
            content: "Two days of talks and workshops in May. Customers get two tickets each.",
            active: false,
            created_at: datetime!(2026-02-12 15:00 UTC),
        },
        Announcement {
            title: "Atlas generation 1 reaches its end of sale",
            content: "The first Atlas devices leave the shop at the end of June; support goes on for three years.",
            active: false,
            created_at: datetime!(2026-04-02 13:30 UTC),
        },
        Announcement {
            title: "SOC 2 Type II report renewed",
            content: "The report for the past year is available under a non-disclosure agreement.",
            active: true,
            created_at: datetime!(2026-05-20 14:00 UTC),
        },
        Announcement {
            title: "New region: Frankfurt",
            content: "Inference and storage can be kept within the European Union.",
            active: true,
            created_at: datetime!(2026-06-18 08:00 UTC),
        },
        Announcement {
            title: "Data Connector for historians",
            content: "Reads OSIsoft PI and InfluxDB without an agent on the machine.",
            active: true,
            created_at: datetime!(2026-07-09 16:45 UTC),
        },
        Announcement {
            title: "Higher API limits on Enterprise",
            content: "Enterprise credit packs now allow ten times the former request rate.",
            active: true,
            created_at: datetime!(2026-08-03 12:00 UTC),
        },
        Announcement {
            title: "Juno series in stock",
            content: "Gateways and sensors of the Juno series ship within two days.",
            active: true,
            created_at: datetime!(2026-08-27 09:15 UTC),
        },
        Announcement {
            title: "Autumn prices for platform seats",
            content: "Orders of fifty seats or more get a discount until the end of the quarter.",
            active: true,
            created_at: datetime!(2026-09-15 10:00 UTC),
        },
    ]
}
