//! A letter as bytes, by `lettre`: every header is a typed one or a constant.

use lettre::{
    Message,
    address::Envelope,
    message::{
        Attachment, Mailbox, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use remit_domain::data::{Error, notify::Address};

use super::letter::Letter;

/// Whom a letter goes to, and what goes to them.
///
/// Errors: `invalid` for what can't be written as a mail.
pub(super) fn written(letter: &Letter) -> Result<(Envelope, Vec<u8>), Error> {
    let invalid = || Error::Invalid("that can't be written as a mail".to_owned());
    let address = |address: &Address| address.as_str().parse::<lettre::Address>().map_err(|_| invalid());
    let all = [&letter.to, &letter.cc, &letter.bcc].into_iter().flatten().map(address).collect::<Result<_, _>>()?;
    let envelope = Envelope::new(Some(address(&letter.from)?), all).map_err(|_| invalid())?;
    let mailbox = |it: &Address| address(it).map(|address| Mailbox::new(None, address));
    let mut builder = Message::builder()
        .from(mailbox(&letter.from)?)
        .subject(letter.subject.as_str())
        // Made by lettre it would name this machine.
        .message_id(Some(format!("<{}>", letter.id)))
        .date_now()
        // RFC 3834: programs that answer mails by themselves leave this one alone.
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
        .envelope(envelope.clone());
    for to in &letter.to {
        builder = builder.to(mailbox(to)?);
    }
    for cc in &letter.cc {
        builder = builder.cc(mailbox(cc)?);
    }
    let text = SinglePart::plain(letter.text.clone());
    let html = letter.html.clone().map(SinglePart::html);
    let message = if letter.attachments.is_empty() {
        match html {
            Some(html) => builder.multipart(MultiPart::alternative().singlepart(text).singlepart(html)),
            None => builder.singlepart(text),
        }
    } else {
        let mut mixed = match html {
            Some(html) => MultiPart::mixed().multipart(MultiPart::alternative().singlepart(text).singlepart(html)),
            None => MultiPart::mixed().singlepart(text),
        };
        for file in &letter.attachments {
            let kind = ContentType::parse(&file.media_type).map_err(|_| invalid())?;
            mixed = mixed.singlepart(Attachment::new(file.name.clone()).body(file.bytes.clone(), kind));
        }
        builder.multipart(mixed)
    };
    Ok((envelope, message.map_err(|_| invalid())?.formatted()))
}
