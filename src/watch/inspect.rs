//! Asks Ganeti whether the mirrors of instances that were started without them are whole again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::act::Runner;
use crate::luxi::messages::parse_shape;
use crate::luxi::opcodes::OpCode;
use crate::{logging, tell};

/// It needs the instances' locks, and an administrator repairing the mirror holds those for a long time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Those of the instances whose mirror is whole on both sides; empty, with a warning, when that cannot be
/// found out now.
pub(super) async fn whole_mirrors(runner: &mut Runner<'_>, instances: &[String]) -> Vec<String> {
    let opcode = OpCode::InstanceQueryData { instances: instances.to_vec() };
    if runner.snapshot().pending_jobs.iter().any(|job| job.does(&opcode.summary())) {
        logging::log(tell::mirrors::still_being_checked());
        return Vec::new();
    }
    let looked = match timeout(PATIENCE, look(runner, &opcode)).await {
        Ok(looked) => looked,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    looked.unwrap_or_else(|problem| {
        logging::log(tell::mirrors::unchecked(instances, &problem));
        Vec::new()
    })
}

async fn look(runner: &mut Runner<'_>, opcode: &OpCode) -> Result<Vec<String>, String> {
    let job =
        runner.submit(opcode).await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let result = runner.wait(job).await.map_err(|error| error.to_string())?;
    let results = result.map_err(|failure| format!("job {job}: {failure}"))?;
    runner.archive(job).await;
    whole(&results.into_iter().next().unwrap_or_default()).map_err(|problem| format!("job {job}: {problem}"))
}

/// Reads `{instance: {"disks": [{"pstatus": [path, major, minor, percent, time, is_degraded, ldisk_status],
/// …}]}}` (`cmdlib/instance_query.py: LUInstanceQueryData`). On a node whose disk is not assembled the status
/// is null.
fn whole(result: &Value) -> Result<Vec<String>, String> {
    type Status = (Value, Value, Value, Option<f64>, Value, Option<bool>, Value);
    #[derive(Deserialize)]
    struct Disk {
        pstatus: Option<Status>,
        sstatus: Option<Status>,
    }
    #[derive(Deserialize)]
    struct Instance {
        disks: Vec<Disk>,
    }
    let instances: BTreeMap<String, Instance> = parse_shape(&result.to_string(), "result")?;
    let side_is_whole = |status: &Option<Status>| {
        // No percentage: nothing is being synchronised.
        matches!(status, Some((_, _, _, None, _, Some(false), _)))
    };
    let disk_is_whole = |disk: &Disk| side_is_whole(&disk.pstatus) && side_is_whole(&disk.sstatus);
    let is_whole = |(name, instance): (String, Instance)| {
        (!instance.disks.is_empty() && instance.disks.iter().all(disk_is_whole)).then_some(name)
    };
    Ok(instances.into_iter().filter_map(is_whole).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mirror_is_whole_when_both_sides_of_every_disk_are() {
        let side = |percent: Value, degraded: bool| json!(["/dev/drbd0", 147, 0, percent, null, degraded, 1]);
        let good = || side(Value::Null, false);
        let disk =
            |primary: Value, secondary: Value| json!({"pstatus": primary, "sstatus": secondary, "size": 1});
        let result = json!({
            "whole": {"disks": [disk(good(), good()), disk(good(), good())]},
            "resyncs": {"disks": [disk(side(json!(68.5), false), good())]},
            "degraded": {"disks": [disk(good(), good()), disk(side(Value::Null, true), good())]},
            "without": {"disks": []},
            "away": {"disks": [disk(good(), Value::Null)]},
        });
        assert_eq!(whole(&result), Ok(vec!["whole".to_owned()]));
        let problem = whole(&json!({"i": {"disks": [{"pstatus": 5, "sstatus": null}]}})).unwrap_err();
        assert!(problem.contains("disks[0].pstatus"), "{problem}");
    }
}
