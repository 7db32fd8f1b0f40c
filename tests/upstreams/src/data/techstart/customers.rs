//! Eight hundred people at some hundred companies, with those that the seed names among them.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime};

use super::{ANCHOR, CUSTOMERS, Customer, GROWING_CUSTOMER, LEAD_EMAIL, LOYAL_CUSTOMER, seeds};
use crate::random::Random;

const FIRST_NAMES: [&str; 48] = [
    "Maria", "Daniel", "Aisha", "Wei", "Lucas", "Priya", "Hannah", "Omar", "Sofia", "Kenji", "Amara", "Peter",
    "Linnea", "Mateo", "Chloe", "Ravi", "Ingrid", "Samuel", "Yuki", "Elena", "Tomas", "Fatima", "Noah", "Grace",
    "Viktor", "Leila", "Jonas", "Mei", "Carlos", "Nadia", "Oliver", "Zanele", "Hugo", "Anita", "Felix", "Rosa",
    "Ibrahim", "Clara", "Dmitri", "Eva", "Kwame", "Paula", "Simon", "Tara", "Marek", "Julia", "Andre", "Bea",
];

const LAST_NAMES: [&str; 52] = [
    "Alvarez",
    "Osei",
    "Khan",
    "Zhang",
    "Silva",
    "Nair",
    "Becker",
    "Haddad",
    "Rossi",
    "Tanaka",
    "Okafor",
    "Novak",
    "Berg",
    "Garcia",
    "Martin",
    "Patel",
    "Larsen",
    "Cohen",
    "Sato",
    "Petrova",
    "Horvat",
    "Rahman",
    "Miller",
    "Adeyemi",
    "Ivanov",
    "Farouk",
    "Weber",
    "Chen",
    "Mendez",
    "Kowalska",
    "Baker",
    "Dlamini",
    "Dubois",
    "Sharma",
    "Keller",
    "Lopez",
    "Diallo",
    "Schmidt",
    "Popov",
    "Lindgren",
    "Mensah",
    "Ferreira",
    "Young",
    "Walsh",
    "Zielinski",
    "Moreau",
    "Costa",
    "Hughes",
    "Jensen",
    "Vargas",
    "Foster",
    "Ito",
];

const COMPANY_HEADS: [&str; 20] = [
    "Northwind",
    "Brightwave",
    "Ironbridge",
    "Bluepeak",
    "Silverline",
    "Harborview",
    "Redwood",
    "Quantum Leap",
    "Clearwater",
    "Summit",
    "Evergreen",
    "Lakeside",
    "Pinnacle",
    "Cobalt",
    "Meridian",
    "Riverstone",
    "Granite",
    "Sunfield",
    "Starling",
    "Copperfield",
];

const COMPANY_TAILS: [&str; 10] = [
    "Robotics",
    "Analytics",
    "Logistics",
    "Foods",
    "Energy",
    "Health",
    "Manufacturing",
    "Retail Group",
    "Aerospace",
    "Bank",
];

const NOTES: [&str; 6] = [
    "Prefers mail over calls.",
    "Budget is decided in the fourth quarter.",
    "Asked for volume pricing.",
    "Evaluates two competitors besides us.",
    "Security review passed; contract template agreed.",
    "Wants on-premises inference.",
];

/// People the seed speaks of: number, first name, last name, address, company, notes.
type Known = (u32, &'static str, &'static str, &'static str, &'static str, &'static str);

const KNOWN: [Known; 9] = [
    (1, "Olivia", "Grant", "olivia.grant@acmecorp.com", "ACME Corp", "Buys for the plants in Ohio."),
    (2, "Test", "Account", "test.account@techstart.com", "TechStart QA", "Used by our own engineers."),
    (3, "John", "Mitchell", LEAD_EMAIL, "ACME Corp", "Lead: asked for enterprise AI in manufacturing."),
    (4, "Hector", "Ramos", "hector.ramos@acmecorp.com", "ACME Corp", "Head of plant maintenance."),
    (5, "Mina", "Sorensen", "mina.sorensen@acmecorp.com", "ACME Corp", "Left ACME Corp."),
    (6, "Ray", "Testa", "ray.testa@cobalt-robotics.example", "Cobalt Robotics", "Runs a pilot."),
    (42, "Ingrid", "Walsh", "ingrid.walsh@evergreen-bank.example", "Evergreen Bank", "Ten-year framework contract."),
    (123, "Maria", "Alvarez", "maria.alvarez@northwind-robotics.example", "Northwind Robotics", "Reference customer."),
    (789, "Daniel", "Osei", "daniel.osei@brightwave-analytics.example", "Brightwave Analytics", "Near the API limit."),
];

/// Known people who are no longer customers.
const LEFT: u32 = 5;

pub(super) fn generate() -> Vec<Customer> {
    let mut random = Random::new(seeds::CUSTOMERS);
    let mut taken: BTreeSet<String> = KNOWN.iter().map(|known| known.3.to_owned()).collect();
    (1..=CUSTOMERS)
        .map(|number| {
            let drawn = draw(number, &mut random, &mut taken);
            KNOWN.iter().find(|known| known.0 == number).map_or(drawn.clone(), |known| name(drawn, known))
        })
        .collect()
}

fn draw(number: u32, random: &mut Random, taken: &mut BTreeSet<String>) -> Customer {
    let first_name = random.pick(&FIRST_NAMES).to_owned();
    let last_name = random.pick(&LAST_NAMES).to_owned();
    let company = format!("{} {}", random.pick(&COMPANY_HEADS), random.pick(&COMPANY_TAILS));
    let email = address(&first_name, &last_name, &company, taken);
    let created_at = days_before(ANCHOR, random.between(30, 1_400), random);
    let age_days = (ANCHOR - created_at).whole_days();
    let last_contact_date = random.chance(92).then(|| days_before(ANCHOR, random.between(0, age_days - 1), random));
    let salesforce_id = random.chance(60).then(|| salesforce_id("003", number));
    let notes = random.chance(40).then(|| random.pick(&NOTES).to_owned());
    Customer {
        id: format!("cust_{number:03}"),
        first_name,
        last_name,
        email,
        company,
        active: !random.chance(12),
        notes,
        salesforce_id,
        created_at,
        updated_at: last_contact_date.map_or(created_at, |contact| contact.max(created_at)),
        last_contact_date,
    }
}

fn name(drawn: Customer, known: &Known) -> Customer {
    let &(number, first_name, last_name, email, company, notes) = known;
    let contact = ANCHOR - Duration::days(i64::from(number % 20)) - Duration::hours(7);
    let loyal = [LOYAL_CUSTOMER, GROWING_CUSTOMER].contains(&drawn.id.as_str());
    let created_at = if loyal { ANCHOR - Duration::days(1_200) + Duration::hours(10) } else { drawn.created_at };
    Customer {
        first_name: first_name.to_owned(),
        last_name: last_name.to_owned(),
        email: email.to_owned(),
        company: company.to_owned(),
        active: number != LEFT,
        notes: Some(notes.to_owned()),
        salesforce_id: (number != 2).then(|| salesforce_id("003", number)),
        created_at,
        updated_at: contact,
        last_contact_date: Some(contact),
        ..drawn
    }
}

fn address(first: &str, last: &str, company: &str, taken: &mut BTreeSet<String>) -> String {
    let domain = company.to_lowercase().replace(' ', "-");
    let local = format!("{first}.{last}").to_lowercase();
    let mut email = format!("{local}@{domain}.example");
    let mut again = 2;
    while !taken.insert(email.clone()) {
        email = format!("{local}{again}@{domain}.example");
        again += 1;
    }
    email
}

/// `days` before `from`, at a second within office hours.
pub(super) fn days_before(from: OffsetDateTime, days: i64, random: &mut Random) -> OffsetDateTime {
    from - Duration::days(days + 1) + Duration::seconds(random.between(8 * 3_600, 18 * 3_600))
}

/// A Salesforce id of 18 characters.
pub(crate) fn salesforce_id(prefix: &str, number: u32) -> String {
    with_checksum(&format!("{prefix}8d000De{number:05}"))
}

/// An id of 15 characters with the checksum that says which of them are capitals.
pub(crate) fn with_checksum(id: &str) -> String {
    const CHECK: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let check = id.as_bytes().chunks(5).map(|chunk| {
        let capitals = chunk
            .iter()
            .enumerate()
            .fold(0_usize, |bits, (place, letter)| bits | (usize::from(letter.is_ascii_uppercase()) << place));
        CHECK.get(capitals).map_or('A', |letter| char::from(*letter))
    });
    let check: String = check.collect();
    format!("{id}{check}")
}
