//! What was said to customers, and when.

use super::customers::days_before;
use super::{ANCHOR, Customer, Interaction, seeds};
use crate::random::Random;

const WORDS: [(&str, &str, &[&str]); 8] = [
    ("sales", "call", &["Discussed renewal terms.", "Asked about volume discounts.", "Left a message."]),
    ("sales", "email", &["Sent the price list.", "Answered questions on data residency.", "Followed up on the quote."]),
    ("sales", "meeting", &["Quarterly review with the operations team.", "Met the new head of procurement."]),
    ("sales", "demo", &["Showed anomaly detection on their own data.", "Demo of the edge gateway."]),
    ("sales", "quote", &["Quoted fifty platform seats.", "Quoted a pilot with four gateways."]),
    ("support", "call", &["Walked through a firmware update.", "Explained the API's rate limits."]),
    ("support", "email", &["Closed a ticket on webhook retries.", "Sent the migration guide."]),
    ("marketing", "other", &["Agreed to a case study.", "Signed up for the user conference."]),
];

pub(super) fn generate(customers: &[Customer]) -> Vec<Interaction> {
    let mut random = Random::new(seeds::INTERACTIONS);
    let mut interactions = Vec::new();
    for customer in customers {
        // The last contact is the last interaction; who was never reached has none.
        let Some(last) = customer.last_contact_date else { continue };
        let age_days = (ANCHOR - customer.created_at).whole_days();
        let count = random.between(1, 4);
        for turn in 0..count {
            let (agent_type, kind, notes) = random.pick(&WORDS);
            let nth = usize::try_from(random.below(notes.len() as u64)).unwrap_or_default();
            let earlier = days_before(ANCHOR, random.between(0, age_days - 1), &mut random);
            interactions.push(Interaction {
                customer_id: customer.id.clone(),
                agent_type,
                kind,
                notes: notes.get(nth).copied().unwrap_or_default().to_owned(),
                created_at: if turn == 0 { last } else { earlier.max(customer.created_at).min(last) },
            });
        }
    }
    interactions.sort_by(|one, other| (one.created_at, &one.customer_id).cmp(&(other.created_at, &other.customer_id)));
    interactions
}
