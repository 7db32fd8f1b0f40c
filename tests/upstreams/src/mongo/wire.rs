//! MongoDB's messages, as far as its drivers of today send them: `OP_MSG` alone.

use anyhow::{Context as _, Result, bail};
use bson::{Bson, Document};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const OP_MSG: i32 = 2013;
const HEADER: usize = 16;
/// The most bytes of a message, as MongoDB has it.
const MAX_MESSAGE: usize = 48_000_000;

/// A command, with the number that its answer names; or an answer.
pub(super) struct Message {
    pub(super) number: i32,
    pub(super) command: Document,
}

/// The next command or answer of a connection, its lists of documents put where they belong; `None` at its end.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<Message>> {
    let mut header = [0; HEADER];
    if from.read_exact(&mut header).await.is_err() {
        return Ok(None);
    }
    let length = usize::try_from(word(&header, 0)?)?;
    if !(HEADER..MAX_MESSAGE).contains(&length) || word(&header, 12)? != OP_MSG {
        bail!("not a message of today's drivers");
    }
    let mut body = vec![0; length - HEADER];
    from.read_exact(&mut body).await?;
    Ok(Some(Message { number: word(&header, 4)?, command: sections(&body)? }))
}

/// Sends an answer to the command of a number, or a command.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), number: i32, answer: &Document) -> Result<()> {
    let document = answer.to_vec()?;
    let length = i32::try_from(HEADER + 5 + document.len())?;
    let mut message = Vec::new();
    for part in [length, 0, number, OP_MSG, 0] {
        message.extend(part.to_le_bytes());
    }
    message.push(0);
    message.extend(document);
    Ok(to.write_all(&message).await?)
}

fn sections(body: &[u8]) -> Result<Document> {
    let mut command = Document::new();
    let mut lists = Vec::new();
    // Flags come first; a checksum is never asked for.
    let mut rest = body.get(4..).context("no section")?;
    while let Some((kind, section)) = rest.split_first() {
        let length = usize::try_from(word(section, 0)?)?;
        let (whole, next) = section.split_at_checked(length).context("a section that is cut")?;
        match kind {
            0 => command = Document::from_reader(whole)?,
            1 => lists.push(list(whole.get(4..).context("no list")?)?),
            other => bail!("a section of kind {other}"),
        }
        rest = next;
    }
    command.extend(lists);
    Ok(command)
}

fn list(section: &[u8]) -> Result<(String, Bson)> {
    let end = section.iter().position(|byte| *byte == 0).context("a name without an end")?;
    let (name, mut rest) = section.split_at(end);
    rest = rest.get(1..).unwrap_or_default();
    let mut documents = Vec::new();
    while !rest.is_empty() {
        documents.push(Bson::Document(Document::from_reader(&mut rest)?));
    }
    Ok((String::from_utf8(name.to_vec())?, Bson::Array(documents)))
}

fn word(bytes: &[u8], at: usize) -> Result<i32> {
    let four = bytes.get(at..at + 4).context("a message that is cut")?;
    Ok(i32::from_le_bytes(four.try_into()?))
}
